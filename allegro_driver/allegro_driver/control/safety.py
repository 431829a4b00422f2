"""Safety: a pure state machine, the command watchdog and the thermometer.

::

            enable             command
     off ----------> hold ------------------> active      free: gravity compensation only, for moving by hand; begun
      ^  <---------   ^  <------------------    |         by ``free motion`` from hold, active and relaxed, left by
      |   disable     |     command stale       |         enable (hold), command (active), command lost (relaxed)
      |               | enable                  |
      |            relaxed <--------------------+   command lost: torque off until the next command
      |               (from hold and free too)
      |
      +----- clear fault ----- fault <--- stale feedback, implausible feedback, link error, motor error, overheated,
                                          internal error: from every state

Torque flows only in ``hold``, ``active`` and ``free``. A fault ends only by ``clear fault``, which leads to ``off``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array


class State(Enum):
    """What the hand may do."""

    OFF = 'off'
    HOLD = 'hold'
    ACTIVE = 'active'
    FREE = 'free'
    RELAXED = 'relaxed'
    FAULT = 'fault'


class Event(Enum):
    """What can happen to it."""

    ENABLE = 'enable'
    DISABLE = 'disable'
    COMMAND = 'command'
    FREE_MOTION = 'free motion'
    COMMAND_STALE = 'command stale'
    COMMAND_LOST = 'command lost'
    FEEDBACK_STALE = 'feedback stale'
    FEEDBACK_IMPLAUSIBLE = 'feedback implausible'
    LINK_ERROR = 'link error'
    MOTOR_ERROR = 'motor error'
    OVERHEATED = 'overheated'
    INTERNAL_ERROR = 'internal error'
    CLEAR_FAULT = 'clear fault'


FAULT_EVENTS = frozenset({
    Event.FEEDBACK_STALE, Event.FEEDBACK_IMPLAUSIBLE, Event.LINK_ERROR, Event.MOTOR_ERROR, Event.OVERHEATED,
    Event.INTERNAL_ERROR,
})
TORQUE_STATES = frozenset({State.HOLD, State.ACTIVE, State.FREE})

_ORDINARY: Mapping[State, Mapping[Event, State]] = {
    State.OFF: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.OFF, Event.FREE_MOTION: State.OFF,
        Event.COMMAND_STALE: State.OFF, Event.COMMAND_LOST: State.OFF, Event.CLEAR_FAULT: State.OFF,
    },
    State.HOLD: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE, Event.FREE_MOTION: State.FREE,
        Event.COMMAND_STALE: State.HOLD, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.HOLD,
    },
    State.ACTIVE: {
        Event.ENABLE: State.ACTIVE, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE,
        Event.FREE_MOTION: State.FREE, Event.COMMAND_STALE: State.HOLD, Event.COMMAND_LOST: State.RELAXED,
        Event.CLEAR_FAULT: State.ACTIVE,
    },
    State.FREE: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE, Event.FREE_MOTION: State.FREE,
        Event.COMMAND_STALE: State.FREE, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.FREE,
    },
    State.RELAXED: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE, Event.FREE_MOTION: State.FREE,
        Event.COMMAND_STALE: State.RELAXED, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.RELAXED,
    },
    State.FAULT: {
        Event.ENABLE: State.FAULT, Event.DISABLE: State.FAULT, Event.COMMAND: State.FAULT,
        Event.FREE_MOTION: State.FAULT, Event.COMMAND_STALE: State.FAULT, Event.COMMAND_LOST: State.FAULT,
        Event.CLEAR_FAULT: State.OFF,
    },
}
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (state, event): State.FAULT if event in FAULT_EVENTS else _ORDINARY[state][event]
    for state in State
    for event in Event
}
"""Every pair, so that nothing is left to chance."""


class Safety:
    """The machine with its reasons.

    Attributes:
        state: the present state; only :meth:`handle` changes it.
        reason: why it is in this state, for people.
        faults: everything that went wrong since faults were last cleared, oldest first; at most eight are kept.
        torque_allowed: whether any torque but zero may be sent.
    """

    # Plain attributes: the control loop asks a dozen times per sample, on a processor that has just been woken.
    __slots__ = ('faults', 'reason', 'state', 'torque_allowed')

    def __init__(self) -> None:
        """Off."""
        self.state = State.OFF
        self.reason = 'started'
        self.faults: tuple[str, ...] = ()
        self.torque_allowed = False

    def handle(self, event: Event, reason: str = '') -> bool:
        """Let an event happen; return whether the state changed.

        Args:
            event: what happened.
            reason: why, in words; the event's name if empty.
        """
        before, text = self.state, reason or event.value
        self.state = state = TRANSITIONS[before, event]
        self.torque_allowed = state in TORQUE_STATES
        if event in FAULT_EVENTS:
            if text not in self.faults and len(self.faults) < 8:
                self.faults = (*self.faults, text)
            if before is not State.FAULT:  # the first fault is the cause, later ones are consequences
                self.reason = text
        elif state is not before:
            self.reason = text
            if before is State.FAULT:
                self.faults = ()
        return state is not before


@dataclass(frozen=True, slots=True)
class CommandWatchdog:
    """How long a command stays good.

    Attributes:
        hold_after_s: the newest command is older than this: hold the last target.
        relax_after_s: nothing commanded for this long while holding: torque off. Zero: hold for ever.
        free_timeout_s: free motion ends with torque off after this long. Zero: never.
    """

    hold_after_s: float = 0.1
    relax_after_s: float = 2.0
    free_timeout_s: float = 300.0

    def verdict(self, state: State, quiet_s: float, relax_after_s: float | None = None) -> Event | None:
        """What silence means now.

        Args:
            state: present state.
            quiet_s: age of the newest command, or of the moment when holding or free motion began, s.
            relax_after_s: another patience while holding than the ordinary one, s.
        """
        if state is State.ACTIVE and quiet_s > self.hold_after_s:
            return Event.COMMAND_STALE
        if state is State.HOLD and 0.0 < (self.relax_after_s if relax_after_s is None else relax_after_s) < quiet_s:
            return Event.COMMAND_LOST
        if state is State.FREE and 0.0 < self.free_timeout_s < quiet_s:
            return Event.COMMAND_LOST
        return None


class Thermometer:
    """Judges joint temperatures; what was never reported (NaN) is not judged."""

    def __init__(self, model: HandModel, warn_c: float, fault_c: float) -> None:
        """Take the thresholds, °C, and the names of the joints.

        Raises:
            ConfigError: the warning would come after the fault.
        """
        if warn_c > fault_c:
            raise ConfigError(f'temperature_warn_c is {warn_c} °C, above temperature_fault_c {fault_c} °C; lower it')
        self._names, self._warn, self._fault = model.joint_names, warn_c, fault_c

    def fault(self, temperature_c: Array | None) -> str:
        """Why the hand must stop, or ''. ``temperature_c``: (n_joints,), or None where the hand has no sensors."""
        return self._above(temperature_c, self._fault, 'let it cool down, then clear the fault')

    def warning(self, temperature_c: Array | None) -> str:
        """Why somebody should look, or ''."""
        return self._above(temperature_c, self._warn, 'give it a rest')

    def _above(self, temperature_c: Array | None, limit: float, remedy: str) -> str:
        if temperature_c is None or not np.fmax.reduce(temperature_c) >= limit:  # fmax passes NaN over
            return ''
        hot = ', '.join(f'{name} {t:.0f} °C' for name, t in zip(self._names, temperature_c, strict=True) if t >= limit)
        return f'too hot: {hot}; allowed are {limit:.0f} °C; {remedy}'
