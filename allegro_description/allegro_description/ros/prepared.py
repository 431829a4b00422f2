"""Messages that are serialised once and then only filled in: what a driver publishes hundreds of times a second.

Names, frame and layout of ``joint_states`` and ``tactile/raw`` never change while a node runs, so most of building and
converting a message is work for nothing, and on a processor that has just been woken it costs ten times what a warm
benchmark says. A prepared message holds the serialised bytes and the places of the values; :meth:`fill` writes those
and returns bytes that ``Publisher.publish`` takes. Read back they equal the ordinary message, by test.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.ros.convert import RAW_DTYPE, joint_state_message, raw_message
from allegro_description.state import HandState

_STAMP = struct.Struct('<iI')
_MARK_NS = 0x12345678 * 1_000_000_000 + 0x1234567  # seconds and nanoseconds that occur nowhere else


class _Prepared:
    """Serialised bytes whose stamp can be changed."""

    def __init__(self, message: Any) -> None:
        self._bytes = bytearray(serialize_message(message))
        stamp = message.header.stamp
        self._stamp_at = self._place(_STAMP.pack(stamp.sec, stamp.nanosec))

    def _place(self, pattern: bytes) -> int:
        at = self._bytes.find(pattern)
        if at < 0 or self._bytes.find(pattern, at + 1) >= 0:
            raise ConfigError('this middleware serialises messages in a way that cannot be prepared')
        return at

    def _view(self, pattern: NDArray[Any]) -> NDArray[Any]:
        return np.frombuffer(self._bytes, pattern.dtype, pattern.size, self._place(pattern.tobytes()))

    def _set_stamp(self, stamp_ns: int) -> None:
        _STAMP.pack_into(self._bytes, self._stamp_at, *divmod(stamp_ns, 1_000_000_000))


class PreparedJointState(_Prepared):
    """``joint_states`` of one hand."""

    def __init__(self, model: HandModel, *, effort: bool) -> None:
        """Serialise the message once.

        Args:
            model: the hand with the names that messages carry.
            effort: whether it reports motor currents.

        Raises:
            ConfigError: the middleware's bytes are not understood; publish ordinary messages then.
        """
        n = len(model.joints)
        # Values that occur nowhere else in the bytes, so that their places can be found.
        marks = np.arange(1, 3 * n + 1).reshape(3, n) * 1.000123
        self._per_nm = model.per_nm
        current = marks[2] * model.per_nm if effort else None
        message = joint_state_message(model, HandState(_MARK_NS, 0, marks[0], marks[1], current))
        super().__init__(message)
        self._position, self._velocity = self._view(marks[0]), self._view(marks[1])
        self._effort = self._view(np.array(message.effort)) if effort else None

    def fill(self, stamp_ns: int, state: HandState) -> bytes:
        """The message of a state.

        Args:
            stamp_ns: ROS time, ns.
            state: measurement; its own stamp is not used.
        """
        self._set_stamp(stamp_ns)
        self._position[:] = state.position
        self._velocity[:] = state.velocity
        if self._effort is not None and state.current_ma is not None:
            np.divide(state.current_ma, self._per_nm, out=self._effort)
        return bytes(self._bytes)


class PreparedRaw(_Prepared):
    """``tactile/raw`` of one hand."""

    def __init__(self, model: HandModel) -> None:
        """Serialise the message once.

        Raises:
            ConfigError: the middleware's bytes are not understood; publish ordinary messages then.
        """
        marks = np.arange(1.0, len(model.taxels) + 1) * 1.5
        zeros = np.zeros(len(model.joints))
        super().__init__(raw_message(model, HandState(_MARK_NS, 0, zeros, zeros, tactile=marks)))
        points = np.zeros(len(marks), RAW_DTYPE)
        points['raw'] = marks
        self._raw = self._view(points)['raw']

    def fill(self, stamp_ns: int, state: HandState) -> bytes:
        """The message of a state that carries tactile readings.

        Args:
            stamp_ns: ROS time, ns.
            state: measurement; its own stamp is not used.
        """
        self._set_stamp(stamp_ns)
        self._raw[:] = state.tactile
        return bytes(self._bytes)
