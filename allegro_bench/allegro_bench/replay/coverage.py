"""Metric group 2: how much of the recording says anything about this policy, and how much of that is independent."""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle

from allegro_bench.replay.inputs import Inputs, Mask
from allegro_bench.replay.moments import events, phases
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.runner import Trace
from allegro_bench.replay.segments import NEEDED

SLIP = 0.5
"""Probability from which a policy's own slip output counts as an event."""


def describe(inputs: Inputs, plan: Plan, trace: Trace, bundle: Bundle) -> dict[str, Any]:
    """The section ``coverage`` of the document."""
    at_work = sum(end - begin for _, begin, end, _ in plan.runs)
    closing = sum(begin - first for first, begin, _, _ in plan.runs)
    touch = [e['name'] for e in bundle.contract['inputs'] if e['name'].startswith('tactile')]
    valid = trace.observation.get('tactile_valid')
    felt: Mask = np.full(len(trace), not touch)
    if touch and valid is not None:
        felt = np.asarray((valid > 0).all(axis=1))
    required = felt if bundle.touch_required else np.ones(len(trace), dtype=bool)
    slip = inputs.columns('slip_probability')
    shapes = {str(e.get('shape')) for e in inputs.episodes if e.get('shape') is not None}
    effective = int(len(trace) / trace.correlation)
    return {
        'ticks': plan.source, 'steps': len(trace), 'steps_at_work': at_work, 'closing_ticks': closing,
        'runs': len(plan.runs), 'runs_begun_inside': sum(inside for *_, inside in plan.runs),
        'answered': len(trace) / at_work if at_work else None,
        'required_inputs_fresh': _share(required), 'all_tips_valid': _share(felt) if touch else None,
        'phases': {name: {'steps': int(mask.sum()), 'required_inputs_fresh': _share(required[mask])}
                   for name, mask in phases(trace).items()},
        'contact_events': int(events(trace).sum()),
        'slip_events': None if slip is None else int((np.diff((slip[:, 0] > SLIP).astype(int)) > 0).sum()),
        'episodes': len(inputs.episodes), 'objects': sorted(shapes), 'operators': None,
        'independent_segments': effective, 'needed_segments': NEEDED,
        'correlation_s': trace.correlation * bundle.period_s,
        'enough': effective >= NEEDED,
    }


def _share(mask: Any) -> float | None:
    return float(np.mean(mask)) if len(mask) else None
