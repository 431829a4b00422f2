"""What a hand measures as messages: ``joint_states`` and ``tactile/raw``, published from the control thread."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.ros.convert import joint_state_message, raw_message
from allegro_description.ros.interfaces import JOINT_STATES, TACTILE_RAW
from allegro_description.ros.prepared import PreparedJointState, PreparedRaw
from allegro_description.state import Array, HandState

_LOOK_EVERY = 100
"""So many samples pass between two looks at who listens: 0.3 s of a V5 Sense, 0.4 s of a hand on CAN."""


class HandPublisher:
    """Publishes every n-th sample to whoever listens. Quick: the control loop waits for it."""

    def __init__(self, node: Any) -> None:
        """Create the topics on a lifecycle node."""
        self._clock = node.get_clock()
        self._states = node.create_lifecycle_publisher(JOINT_STATES.type, JOINT_STATES.name, JOINT_STATES.publish_qos)
        self._raw = node.create_lifecycle_publisher(TACTILE_RAW.type, TACTILE_RAW.name, TACTILE_RAW.publish_qos)
        self._model: HandModel | None = None
        self._divisor = 1
        self._count = 0
        self._heard = self._raw_heard = True
        self._strongest: Array | None = None
        self._prepared: PreparedJointState | None = None
        self._with_effort = False
        self._prepared_raw: PreparedRaw | None = None
        self._fits = True

    def begin(self, model: HandModel, divisor: int) -> None:
        """Take the hand with the names that messages carry, and publish every ``divisor``-th sample from now on."""
        self._model, self._divisor = model, divisor
        self._prepared = self._prepared_raw = None
        self._fits = True

    def publish(self, state: HandState) -> None:
        """Publish a sample if it is its turn. Its stamp is monotonic; that of the messages is ROS time."""
        if state.current_ma is not None:
            size = np.abs(state.current_ma)
            strongest = self._strongest
            self._strongest = size if strongest is None else np.maximum(strongest, size, out=size)
        self._count += 1
        if self._count % _LOOK_EVERY == 0:  # asking costs as much as a message
            self._heard = self._states.get_subscription_count() > 0
            self._raw_heard = self._raw.get_subscription_count() > 0
        if self._count % self._divisor or self._model is None or not (self._heard or self._raw_heard):
            return
        stamp = state.stamp_ns + self.offset_ns()
        reports = state.current_ma is not None
        if self._fits and (self._prepared is None or reports is not self._with_effort):
            self._prepare(self._model, state)
        if self._prepared is None:
            stamped = dataclasses.replace(state, stamp_ns=stamp)
            if self._heard:
                self._states.publish(joint_state_message(self._model, stamped))
            if self._raw_heard and state.tactile is not None:
                self._raw.publish(raw_message(self._model, stamped))
            return
        if self._heard:
            self._states.publish(self._prepared.fill(stamp, state))
        if self._raw_heard and self._prepared_raw is not None and state.tactile is not None:
            self._raw.publish(self._prepared_raw.fill(stamp, state))

    def offset_ns(self) -> int:
        """ROS time minus monotonic time, ns."""
        clock = self._clock
        now = int(clock.now().nanoseconds) if clock.ros_time_is_active else time.time_ns()  # the same, without objects
        return now - time.monotonic_ns()

    def take_current(self) -> float:
        """Highest motor current since the last call, mA."""
        strongest, self._strongest = self._strongest, None
        return 0.0 if strongest is None else float(strongest.max())

    def _prepare(self, model: HandModel, state: HandState) -> None:
        try:
            self._with_effort = state.current_ma is not None
            prepared = PreparedJointState(model, effort=self._with_effort)
            self._prepared_raw = None if state.tactile is None else PreparedRaw(model)
            self._prepared = prepared
        except ConfigError:  # a middleware with other bytes: ordinary messages do, at three times the cost
            self._fits = False
