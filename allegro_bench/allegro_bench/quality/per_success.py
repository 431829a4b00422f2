"""What a successful grasp costs: inferences, CPU seconds and joules, with intervals.

The estimate is a ratio of sums over trials, failed trials included: what a failure used was used for nothing, so a
policy that needs two attempts costs twice. Its interval comes from a bootstrap over trials. Without a success there is
no number, and neither is there one where energy was not metered.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError

DRAWS = 10_000
Interval = dict[str, float | None]

UNKNOWN: Interval = {'value': None, 'lo': None, 'hi': None}


def per_success(used: Sequence[float], success: Sequence[bool], *, seed: int = 0) -> Interval:
    """Sum of what was used over the number of successes, with its 95 % interval.

    Args:
        used: of each trial, any unit, (n,).
        success: of each trial, (n,).
        seed: of the bootstrap.

    Returns:
        ``value``, ``lo`` and ``hi``; all None without a success, ``hi`` None where too many resamples have none.

    Raises:
        ConfigError: unequal lengths, or a number that is negative or not finite.
    """
    spent, won = np.asarray(used, dtype=np.float64), np.asarray(success, dtype=bool)
    if spent.shape != won.shape or spent.ndim != 1 or not (np.isfinite(spent) & (spent >= 0)).all():
        raise ConfigError(f'{spent.size} costs of {won.size} trials: needed is one finite number of at least 0 for '
                          'each trial')
    if not won.any():
        return dict(UNKNOWN)
    # trials are drawn in portions, so that many of them need no more memory than few
    rng, ratios = np.random.default_rng(seed), []
    for _ in range(DRAWS // 500):
        chosen = rng.integers(won.size, size=(500, won.size))
        with np.errstate(divide='ignore', invalid='ignore'):
            ratio = spent[chosen].sum(axis=1) / won[chosen].sum(axis=1)
        ratios.append(np.where(np.isnan(ratio), np.inf, ratio))
    low, high = np.quantile(np.concatenate(ratios), [0.025, 0.975], method='nearest')
    return {'value': float(spent.sum() / won.sum()), 'lo': float(low), 'hi': float(high) if np.isfinite(high) else None}


def product(one: Mapping[str, Any], other: Mapping[str, Any]) -> Interval:
    """Product of two independent positive numbers with intervals; relative errors add as squares.

    A factor without a value makes the product unknown, one without a bound leaves that bound unknown.
    """
    a, b = one.get('value'), other.get('value')
    if a is None or b is None:
        return dict(UNKNOWN)
    found: Interval = {'value': a * b}
    for bound in ('lo', 'hi'):
        first, second = one.get(bound), other.get(bound)
        if first is None or second is None:
            found[bound] = None
        elif min(a, b, first, second) <= 0:
            found[bound] = max(0.0, first * second)     # an interval of few blocks may reach below what can be
        else:
            spread = math.hypot(math.log(first / a), math.log(second / b))
            found[bound] = a * b * math.exp(spread if bound == 'hi' else -spread)
    return found


def trial_energy(path: Path) -> Interval:
    """Joules per success of trials in which the energy of the policy's computer was metered.

    Only for trials whose simulator ran on another machine, or that needed none: otherwise the simulator's energy is
    in the number. The file says so itself.

    Args:
        path: a CSV file with the columns ``joules``, ``success`` (0 or 1) and ``simulator`` (``none`` or
            ``elsewhere``), one row per trial.

    Raises:
        ConfigError: it cannot be read, or a trial had its simulator on the same machine.
    """
    needed = ('joules', 'success', 'simulator')
    try:
        with path.open(newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        joules = [float(r['joules']) for r in rows]
        success = [{'0': False, '1': True}[r['success'].strip()] for r in rows]
        simulators = {r['simulator'].strip() for r in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ConfigError(f'{path} cannot be read as trials: {type(error).__name__}: {error}; it has to be CSV with '
                          f'the columns {", ".join(needed)}, success 0 or 1') from error
    if not rows or not simulators <= {'none', 'elsewhere'}:
        raise ConfigError(f'{path}: {len(rows)} trials with the simulator {", ".join(sorted(simulators)) or "unknown"};'
                          ' joules count as measured only where it is none or elsewhere: otherwise leave the file out, '
                          'and joules per success are derived from joules per inference')
    return per_success(joules, success)
