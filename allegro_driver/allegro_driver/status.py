"""A running hand at a glance."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_driver.control.safety import State


@dataclass(frozen=True, slots=True)
class HandStatus:
    """A glance at the hand, for people and diagnostics.

    Attributes:
        state, reason: where the safety machine is and why.
        faults: what went wrong since faults were cleared.
        accepted, refused: commands, trajectories and motions.
        last_refusal: why the last one was refused, '' if none was.
        realtime: what the operating system granted.
        listener_error: what a state listener last raised, '' if nothing.
        control_mode: ``host`` or ``onboard``.
        motion: the named motion that is followed or held, '' if none.
        torque_limited: samples answered with less torque than wanted because of the current budget.
        warm: which joints are warmer than they should be, '' if none.
    """

    state: State
    reason: str
    faults: tuple[str, ...]
    accepted: int
    refused: int
    last_refusal: str
    realtime: str
    listener_error: str
    control_mode: str = 'host'
    motion: str = ''
    torque_limited: int = 0
    warm: str = ''
