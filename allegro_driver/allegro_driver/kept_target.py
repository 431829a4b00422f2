"""Commands between two worlds: theirs, where a target is sent once and held for ever, and ours, where it must be fresh.

Pure; times are nanoseconds of one clock.
"""

from __future__ import annotations

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array, JointCommand

from allegro_driver.control.limits import Limits

LONGEST_STEP_S = 0.05
"""A target never moves farther than this time allows, however late the next observation comes."""


class KeptTarget:
    """The last command of a client that may never send another one, repeated while observations come.

    Each repetition is stamped with the newest observation, because their commands carry no useful stamp.
    """

    def __init__(self, repeat_hz: float, keep_s: float) -> None:
        """Keep nothing yet.

        Args:
            repeat_hz: how often to repeat.
            keep_s: how long; 0 is without end.
        """
        self._pause_ns, self._keep_ns = round(1e9 / repeat_hz), round(keep_s * 1e9)
        self._command: JointCommand | None = None
        self._since_ns = self._sent_ns = 0

    @property
    def active(self) -> bool:
        """Whether something is being kept up."""
        return self._command is not None

    def take(self, position: Array | None, effort: Array | None, now_ns: int) -> None:
        """Keep up this command from now on, position (rad) or effort (N·m), (n_joints,).

        Raises:
            CommandRefused: neither or both, or not finite.
        """
        self._command = JointCommand(0, position, effort)
        self._since_ns, self._sent_ns = now_ns, 0

    def drop(self) -> bool:
        """Keep nothing up; return whether something was."""
        was, self._command = self._command is not None, None
        return was

    def due(self, observed_ns: int) -> JointCommand | None:
        """The command to send with an observation of this stamp, or None: nothing kept, too soon, or kept long enough.

        Args:
            observed_ns: stamp of the observation, same clock as :meth:`take`.
        """
        command = self._command
        if command is None or observed_ns - self._sent_ns < self._pause_ns:
            return None
        if self._keep_ns and observed_ns - self._since_ns > self._keep_ns:
            self._command = None
            return None
        self._sent_ns = observed_ns
        return JointCommand(observed_ns, command.position, command.effort)


class FencedTarget:
    """Our command on its way to a driver that limits nothing: within the joint range, and never faster than allowed."""

    def __init__(self, model: HandModel, max_speed: float, hold_after_s: float) -> None:
        """Send nothing yet.

        Args:
            model: the hand.
            max_speed: fastest change of the target, rad/s.
            hold_after_s: a command is followed for this long.

        Raises:
            ConfigError: a speed that the model does not allow.
        """
        self._limits = Limits(model, max_speed=max_speed)
        self._hold_ns = round(hold_after_s * 1e9)
        self._wanted: Array | None = None
        self._target: Array | None = None
        self._since_ns = self._stepped_ns = 0

    def take(self, position: Array, now_ns: int) -> None:
        """Follow this, rad, (n_joints,), finite, from now on."""
        self._wanted, self._since_ns = position, now_ns

    def step(self, measured: Array, now_ns: int) -> Array | None:
        """The target to send with a measurement, rad, (n_joints,); None where no command is fresh enough.

        Args:
            measured: joint angles, rad, (n_joints,); where the first target begins.
            now_ns: present time.
        """
        if self._wanted is None or now_ns - self._since_ns > self._hold_ns:
            self._wanted = self._target = None
            return None
        if self._target is None:
            self._target, self._stepped_ns = self._limits.position(measured), now_ns
        elapsed = min(max((now_ns - self._stepped_ns) / 1e9, 0.0), LONGEST_STEP_S)
        self._target = self._limits.approach(self._target, self._wanted, elapsed)
        self._stepped_ns = now_ns
        return np.array(self._target)
