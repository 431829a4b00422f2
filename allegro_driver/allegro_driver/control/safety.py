"""Safety: a pure state machine and the command watchdog.

::

            enable             command
     off ----------> hold ------------------> active
      ^  <---------   ^  <------------------    |
      |   disable     |     command stale       |
      |               | enable                  |
      |            relaxed <--------------------+   command lost: torque off until the next command
      |               (from hold too)
      |
      +----- clear fault ----- fault <--- stale feedback, implausible feedback, link error, motor error,
                                          internal error: from every state

Torque flows only in ``hold`` and ``active``. A fault ends only by ``clear fault``, which leads to ``off``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What the hand may do."""

    OFF = 'off'
    HOLD = 'hold'
    ACTIVE = 'active'
    RELAXED = 'relaxed'
    FAULT = 'fault'


class Event(Enum):
    """What can happen to it."""

    ENABLE = 'enable'
    DISABLE = 'disable'
    COMMAND = 'command'
    COMMAND_STALE = 'command stale'
    COMMAND_LOST = 'command lost'
    FEEDBACK_STALE = 'feedback stale'
    FEEDBACK_IMPLAUSIBLE = 'feedback implausible'
    LINK_ERROR = 'link error'
    MOTOR_ERROR = 'motor error'
    INTERNAL_ERROR = 'internal error'
    CLEAR_FAULT = 'clear fault'


FAULT_EVENTS = frozenset({
    Event.FEEDBACK_STALE, Event.FEEDBACK_IMPLAUSIBLE, Event.LINK_ERROR, Event.MOTOR_ERROR, Event.INTERNAL_ERROR,
})
TORQUE_STATES = frozenset({State.HOLD, State.ACTIVE})

_ORDINARY: Mapping[State, Mapping[Event, State]] = {
    State.OFF: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.OFF,
        Event.COMMAND_STALE: State.OFF, Event.COMMAND_LOST: State.OFF, Event.CLEAR_FAULT: State.OFF,
    },
    State.HOLD: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE,
        Event.COMMAND_STALE: State.HOLD, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.HOLD,
    },
    State.ACTIVE: {
        Event.ENABLE: State.ACTIVE, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE,
        Event.COMMAND_STALE: State.HOLD, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.ACTIVE,
    },
    State.RELAXED: {
        Event.ENABLE: State.HOLD, Event.DISABLE: State.OFF, Event.COMMAND: State.ACTIVE,
        Event.COMMAND_STALE: State.RELAXED, Event.COMMAND_LOST: State.RELAXED, Event.CLEAR_FAULT: State.RELAXED,
    },
    State.FAULT: {
        Event.ENABLE: State.FAULT, Event.DISABLE: State.FAULT, Event.COMMAND: State.FAULT,
        Event.COMMAND_STALE: State.FAULT, Event.COMMAND_LOST: State.FAULT, Event.CLEAR_FAULT: State.OFF,
    },
}
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (state, event): State.FAULT if event in FAULT_EVENTS else _ORDINARY[state][event]
    for state in State
    for event in Event
}
"""Every pair, so that nothing is left to chance."""


class Safety:
    """The machine with its reasons."""

    def __init__(self) -> None:
        self._state = State.OFF
        self._reason = 'started'
        self._faults: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    @property
    def reason(self) -> str:
        """Why it is in this state, for people."""
        return self._reason

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that went wrong since faults were last cleared, oldest first; at most eight are kept."""
        return self._faults

    @property
    def torque_allowed(self) -> bool:
        """Whether any torque but zero may be sent."""
        return self._state in TORQUE_STATES

    def handle(self, event: Event, reason: str = '') -> bool:
        """Let an event happen; return whether the state changed.

        Args:
            event: what happened.
            reason: why, in words; the event's name if empty.
        """
        before, text = self._state, reason or event.value
        self._state = TRANSITIONS[before, event]
        if event in FAULT_EVENTS:
            if text not in self._faults and len(self._faults) < 8:
                self._faults = (*self._faults, text)
            if before is not State.FAULT:  # the first fault is the cause, later ones are consequences
                self._reason = text
        elif self._state is not before:
            self._reason = text
            if before is State.FAULT:
                self._faults = ()
        return self._state is not before


@dataclass(frozen=True, slots=True)
class CommandWatchdog:
    """How long a command stays good.

    Attributes:
        hold_after_s: the newest command is older than this: hold the last target.
        relax_after_s: nothing commanded for this long while holding: torque off. Zero: hold for ever.
    """

    hold_after_s: float = 0.1
    relax_after_s: float = 2.0

    def verdict(self, state: State, quiet_s: float) -> Event | None:
        """What silence means now.

        Args:
            state: present state.
            quiet_s: age of the newest command, or of the moment when holding began if there was none since, s.
        """
        if state is State.ACTIVE and quiet_s > self.hold_after_s:
            return Event.COMMAND_STALE
        if state is State.HOLD and 0.0 < self.relax_after_s < quiet_s:
            return Event.COMMAND_LOST
        return None
