"""What was happening at each step: free, in contact, or near an event, from the touch that the policy felt."""

from __future__ import annotations

import numpy as np

from allegro_bench.replay.inputs import Mask
from allegro_bench.replay.runner import Trace, contact

CRITICAL_S = 0.2
"""Steps this near to an event are critical: there a policy decides something, elsewhere it mostly keeps still."""

JUMP = 0.5
"""Relative change of a tip's pressure in one step that is an event."""

PHASES = ('free', 'contact', 'event')


def events(trace: Trace) -> Mask:
    """Steps at which a tip begins or ends to touch, or its pressure jumps, (steps,)."""
    found = np.zeros(len(trace), dtype=bool)
    felt = trace.observation.get('tactile_tip_contact')
    if felt is None or len(trace) < 2:
        return found
    same = trace.run[1:] == trace.run[:-1]
    found[1:] = same & (felt[1:] != felt[:-1]).any(axis=1)
    pressed = trace.observation['tactile_tip_pressure'].max(axis=1) > 1.0
    return np.asarray(found | (pressed & (np.abs(trace.observation['tactile_tip_rate']).max(axis=1) > JUMP)))


def phases(trace: Trace) -> dict[str, Mask]:
    """Each step is in exactly one of :data:`PHASES`; ``event`` wins."""
    critical = np.zeros(len(trace), dtype=bool)
    for step in np.flatnonzero(events(trace)):
        critical |= (np.abs(trace.time_s - trace.time_s[step]) <= CRITICAL_S) & (trace.run == trace.run[step])
    touching = contact(trace)
    return {'free': ~touching & ~critical, 'contact': touching & ~critical, 'event': critical}
