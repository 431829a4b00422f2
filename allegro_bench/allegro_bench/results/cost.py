"""What an inference cost: CPU time, energy, carbon and joules per success, each with what it rests on.

A number of which one block is unknown is unknown: null, and never the sum of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from allegro_bench.carbon import Intensity, section
from allegro_bench.meters.meter import Channel, headline
from allegro_bench.quality.per_success import product
from allegro_bench.results import blocks
from allegro_bench.results.intervals import known, over_blocks

IDLE_DRIFT = 0.05
"""The idle machine before and after may differ by so much; beyond it there is nothing to subtract."""

COMPARABLE = 'measured'
"""The only quality of energy that enters comparisons and carbon."""


def cpu(mine: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """CPU seconds of the measuring process per completed inference, spinning and idle time of its loop included."""
    spent, done = blocks.total(mine, 'cpu_s'), sum(b['n_completed'] for b in mine)
    if spent is None or not done:
        return over_blocks(None, [])
    return over_blocks(spent / done, [b['cpu_s'] / b['n_completed'] for b in mine if b['n_completed']])


def energy(document: Mapping[str, Any], backend: str) -> dict[str, Any]:
    """Per meter: gross and marginal joules per completed inference, and Wh per hour at the control rate."""
    mine = [b for b in blocks.of(document, backend) if b['n_completed']]
    found = {}
    for meter in document['meters']:
        name = meter['id']
        every = [(b['energy_j'].get(name), seconds(b, name), b['n_completed']) for b in mine]
        rows = [(j, s, n) for j, s, n in every if j is not None and s]
        whole = bool(rows) and len(rows) == len(every)
        idle = loaded_idle_w(document, backend, name)
        found[name] = {
            'boundary': meter['boundary'], 'quality': meter['quality'],
            'gross_j_per_inference': _ratio([(j, n) for j, _, n in rows] if whole else []),
            'marginal_j_per_inference': _ratio(
                [(j - idle * s, n) for j, s, n in rows] if whole and idle is not None else []),
            'wh_per_hour': _ratio([(j, s) for j, s, _ in rows] if whole else []),
        }
    return found


def seconds(block: Mapping[str, Any], meter: str) -> float | None:
    """Length of a meter's window in a block, s: between its two readings, where their times are known."""
    first, last, *_ = block.get('energy_marks', {}).get(meter) or (None, None)
    if first is not None and last is not None:
        return float(last - first) * 1e-9
    found: float | None = block['energy_window_s']
    return found


def _ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Sum over sum, with the interval over blocks."""
    if not pairs:
        return over_blocks(None, [])
    return over_blocks(math.fsum(a for a, _ in pairs) / math.fsum(b for _, b in pairs), [a / b for a, b in pairs])


def idle_drift(document: Mapping[str, Any], meter: str) -> float | None:
    """By which part the power of the idle machine changed from before the run to after it; None where unknown."""
    before, after = (_power(document, kind, meter) for kind in ('idle_before', 'idle_after'))
    return None if before is None or after is None or not before else abs(after / before - 1.0)


def loaded_idle_w(document: Mapping[str, Any], backend: str, meter: str) -> float | None:
    """What to subtract for marginal energy, W: the loop with the model loaded; None where it is not to be had."""
    drift = idle_drift(document, meter)
    return None if drift is None or drift > IDLE_DRIFT else _power(document, 'loaded_idle', meter, backend)


def _power(document: Mapping[str, Any], kind: str, meter: str, backend: str | None = None) -> float | None:
    found = [b['power_w'].get(meter) for b in document['baselines']
             if b['kind'] == kind and (backend is None or b.get('backend') == backend)]
    return None if not found or any(p is None for p in found) else fmean(p for p in found if p is not None)


def summed(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the measured meters that share one boundary and no joules, so that they may be added."""
    return headline([Channel(m['id'], m['driver'], m['kind'], m['boundary'], m['quality'], '', '',
                             overlaps=tuple(m['overlaps'])) for m in document['meters'] if m['quality'] == COMPARABLE])


def per_success(document: Mapping[str, Any], backend: str, costs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Joules of the policy's computer per successful grasp; None where the quality gate was not run.

    Trials in which energy was metered give it directly (``measured``); else it is joules per inference times
    inferences per success (``derived``). No success: unknown, not infinite.
    """
    row = _judged(document, backend)
    if row is None:
        return None
    direct = row.get('j_per_success')
    if direct is not None:
        return {**{k: direct[k] for k in ('value', 'lo', 'hi')}, 'kind': 'measured'}
    parts = [costs[m]['gross_j_per_inference'] for m in summed(document)]
    whole = {k: math.fsum(ends) if ends and None not in ends else None
             for k in ('value', 'lo', 'hi') for ends in [[p[k] for p in parts]]}
    return {**product(whole, row.get('inferences_per_success') or {}), 'kind': 'derived'}


def cpu_per_success(document: Mapping[str, Any], backend: str, seconds: Mapping[str, Any]) -> dict[str, Any] | None:
    """CPU seconds per successful grasp, from those per inference; None where the quality gate was not run."""
    row = _judged(document, backend)
    return None if row is None else product(seconds, row.get('inferences_per_success') or {})


def _judged(document: Mapping[str, Any], backend: str) -> Mapping[str, Any] | None:
    return next((q for q in document['quality'] if q['backend'] == backend and q['stage'] == 'closed_loop'), None)


def gross_j(document: Mapping[str, Any], costs: Mapping[str, Any]) -> float | None:
    """Gross joules per inference over the meters that may be added; None where there are none or one is unknown."""
    values = [known(costs[m]['gross_j_per_inference']) for m in summed(document)]
    return math.fsum(v for v in values if v is not None) if values and None not in values else None


def carbon(document: Mapping[str, Any], costs: Mapping[str, Any], rate_hz: float | None,
           success: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Grams of CO2e; None without a measured meter or without an intensity, for which there is no default."""
    grid = document['run'].get('carbon_intensity')
    if grid is None:
        return None
    intensity = Intensity(grid['intensity_g_per_kwh'], grid['zone'], grid['year'], grid['source'], grid['kind'])
    return section(gross_j(document, costs), intensity, rate_hz, j_per_success=None if success is None
                   else success['value'], embodied_g_per_hour=grid.get('embodied_g_per_hour'))
