"""What a run finds fault with in itself: every reason with where, what and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allegro_bench.environment import reason
from allegro_bench.running.profiles import STEADY

OTHER_LOAD = 0.1
"""Cores; more than this used by programs that are no part of the run is foreign load."""
DRIFT = 0.05
"""The median response of the reference may change so much from the begin of a run to its end."""
CACHED = 0.9
"""Calls with one observation that take less than this part of calls with distinct ones: answers are remembered."""
CACHED_LEAST_MS = 0.001
"""A smaller gain than this is the clock's."""
LEAK_MB, LEAK_BYTES_PER_TICK = 4.0, 256.0
"""Growth over the second half of a block that counts as a leak: both must be exceeded."""
CLOCK_STEP_S, SLEW = 0.05, 1e-3
"""The wall clock may move so much against the steady one within a block, and be slewed by this share."""
OVERRUN = 0.5
"""With more missed ticks than this the numbers are not those of the control rate."""

INVALID = {
    'incomplete', 'interrupted', 'crashed', 'hung', 'failed', 'refused', 'garbled', 'not_a_number', 'wrong_answers',
    'cached', 'leaks_memory', 'held', 'too_slow', 'not_steady', 'drift', 'no_drift_check', 'clock_stepped',
    'machine_slept', 'clock_backwards', 'disk_full', 'system_changed', 'nothing_measured', 'other_load',
}
"""Codes after which a run's numbers must not be used."""


def of_block(block: Mapping[str, Any], found: Mapping[str, Any], ended: bool = True) -> list[dict[str, str]]:
    """What is wrong with one block.

    Args:
        block: its entry in the result.
        found: what the measuring process said of it.
        ended: whether it came to its end.
    """
    where, name, reasons = f'blocks/{block["index"]}', block['backend'], []
    if found.get('failure'):
        reasons.append(reason('failed', where, f'{name} failed within the block: {found["failure"]}',
                              'the ticks before it are kept; mend the backend and run again'))
    if found.get('held'):
        reasons.append(reason('held', where, f'the loop stopped calling {name}: {found["held"]}',
                              'mend the cause; ticks without inference say nothing about the backend'))
    if found.get('n_bad'):
        reasons.append(reason('not_a_number', where, f'{name} answered NaN, infinity or nothing in {found["n_bad"]} '
                              'ticks', 'a backend that does not compute is not to be compared'))
    reasons += _memory(where, name, found.get('memory_mb', ()), block['n_completed'])
    for clock, moved in found.get('clock_steps_ns', {}).items():
        allowed = CLOCK_STEP_S + SLEW * block['duration_s']
        if abs(moved) * 1e-9 <= allowed:
            continue
        if clock == 'boottime':
            reasons.append(reason('machine_slept', where, f'the machine was suspended for {moved * 1e-9:.1f} s within '
                                  'the block', 'switch suspending off, then measure again'))
        else:
            reasons.append(reason('clock_stepped', where, f'the wall clock was set by {moved * 1e-9:+.3f} s within the '
                                  'block; time stamps of energy and logs do not belong to it',
                                  'let the clock synchronise before a run, then measure again'))
    if ended and block['n_expected'] and (block['n_late'] + block['n_skipped']) / block['n_expected'] > OVERRUN:
        reasons.append(reason('too_slow', where, f'{name} missed {block["n_late"] + block["n_skipped"]} of '
                              f'{block["n_expected"]} ticks: it cannot keep the control rate',
                              'lower --rate-hz, or compare at a rate that it can keep'))
    return reasons


def _memory(where: str, name: str, readings: Sequence[float], ticks: int) -> list[dict[str, str]]:
    if len(readings) < 6 or not ticks:
        return []
    half = np.array(readings[len(readings) // 2:])
    grown = float(half[-1] - half[0])
    per_tick = grown * 1e6 / (ticks / 2)
    if grown < LEAK_MB or per_tick < LEAK_BYTES_PER_TICK or (np.diff(half) <= 0).mean() > 0.5:
        return []
    return [reason('leaks_memory', where, f'memory of {name} grew by {grown:.1f} MB in the second half of the block, '
                   f'{per_tick / 1e3:.1f} kB each tick', 'a backend that leaks ends a robot\'s day early; mend it')]


def of_answers(block: Mapping[str, Any], answers: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """What the answers of a block say that were computed again by another backend."""
    if answers is None or not answers['checked']:
        return []
    if answers['worst'] is not None and answers['worst'] <= answers['allowed']:
        return []
    off = 'not a number' if answers['worst'] is None else f'{answers["worst"]:.3g}'
    return [reason('wrong_answers', f'blocks/{block["index"]}', f'{block["backend"]} answered differently within the '
                   f'block than the graph does: difference {off}, allowed {answers["allowed"]:.3g} (tick '
                   f'{answers["tick"]})', 'it passed its check when loaded and computes something else when timed')]


def of_cache(name: str, distinct_ms: float, repeated_ms: float) -> list[dict[str, str]]:
    """Whether one observation again and again is answered faster than distinct ones."""
    if repeated_ms >= CACHED * distinct_ms or distinct_ms - repeated_ms < CACHED_LEAST_MS:
        return []
    return [reason('cached', f'backends/{name}', f'a repeated observation takes {repeated_ms * 1e3:.1f} us and a new '
                   f'one {distinct_ms * 1e3:.1f} us: answers are remembered, not computed',
                   'switch the cache off; a hand never sees the same observation twice')]


def of_warm_up(where: str, name: str, warm: Mapping[str, Any]) -> list[dict[str, str]]:
    """Whether the warm-up ended steady."""
    if warm['steady']:
        return []
    last = ', '.join(f'{m * 1e3:.0f}' for m in warm['medians_ms'][-3:])
    return [reason('not_steady', where, f'{name} was not steady after {warm["seconds"]:.0f} s: the last medians of 50 '
                   f'ticks were {last} us, apart by more than {STEADY:.0%} and more than their scatter',
                   'stop other programs, fix the clock of the processor, then measure again')]


def of_drift(name: str, opening_ms: float | None, closing_ms: float | None) -> list[dict[str, str]]:
    """Whether the reference took as long at the end of a run as at its begin."""
    if opening_ms is None or closing_ms is None:
        return [reason('no_drift_check', 'run', f'the reference {name} did not both open and close the run',
                       'run it again to its end')]
    ratio = closing_ms / opening_ms
    if abs(ratio - 1.0) <= DRIFT:
        return []
    return [reason('drift', 'run', f'the reference {name} took {opening_ms:.3f} ms at the begin and '
                   f'{closing_ms:.3f} ms at the end of the run ({ratio - 1:+.0%}): the machine was not the same',
                   'stop other programs, let it cool, then measure again')]


def of_load(cores: float | None, where: str) -> list[dict[str, str]]:
    """Whether other programs were at work."""
    if cores is None or cores <= OTHER_LOAD:
        return []
    return [reason('other_load', where, f'other programs used {cores:.2f} cores', 'stop them, then measure again')]
