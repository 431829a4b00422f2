"""What goes wrong in training, noticed early and said in a sentence with what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

HEALTH = ('kl', 'noise', 'loss')      # numbers that every update has; rates need an episode that ended
WINDOW = 10             # updates that are averaged
KL_BLOW_UP = 5.0        # times the target
SIGMA_COLLAPSE = 0.02   # standard deviation of actions, of a range of ±1
CRITIC_LATE = 40        # updates after which the critic should explain something
BASELINE_SHARE = 0.3    # of the run, after which the return should have reached the teacher's


def diagnose(
    curve: Sequence[Mapping[str, float]], updates: int, target_kl: float, baseline: float | None = None
) -> dict[str, str]:
    """Warnings about a run so far.

    Args:
        curve: numbers of each update: ``return``, ``kl``, ``noise``, ``explained``, and others.
        updates: how many are planned.
        target_kl: divergence that an update aims at.
        baseline: mean return of the teacher, None if there is none.

    Returns:
        One sentence by kind: ``nan``, ``kl``, ``entropy``, ``critic``, ``return``. Empty: nothing is wrong.
    """
    if not curve:
        return {}
    found, last = {}, curve[-1]
    broken = [name for name in HEALTH if not math.isfinite(last.get(name, 0.0))]
    if broken:
        found['nan'] = (f'update {len(curve)}: {broken[0]} is not finite. Nothing after it can be used: continue from '
                        'the last checkpoint with a third of the learning rate')
    recent = curve[-WINDOW:]
    kl = _mean(recent, 'kl')
    if kl > KL_BLOW_UP * target_kl:
        found['kl'] = (f'the policy changes by {kl:.3f} per update, {kl / target_kl:.0f} times what is aimed at. Try a '
                       'third of --learning-rate or fewer --epochs')
    if 'noise' in last and _mean(recent, 'noise') < SIGMA_COLLAPSE:
        found['entropy'] = (f'the noise of the actions fell to {_mean(recent, "noise"):.3f}: nothing new is tried any '
                            'more. Try --entropy 0.002 or a larger --log-noise')
    if len(curve) >= CRITIC_LATE and _mean(recent, 'explained') < 0.0:
        found['critic'] = (f'the critic explains nothing after {len(curve)} updates (explained variance '
                           f'{_mean(recent, "explained"):.2f}). Try more --critic-updates or a wider --critic')
    mean = _mean(recent, 'return')
    if baseline is not None and len(curve) >= max(WINDOW, BASELINE_SHARE * updates) and mean < baseline:
        found['return'] = (f'after {len(curve)} of {updates} updates the return is {mean:.1f}, below the '
                           f'{baseline:.1f} of the policy it started from. Try a smaller --learning-rate, a '
                           'smaller --log-noise or more --critic-updates')
    return found


def _mean(rows: Sequence[Mapping[str, float]], name: str) -> float:
    values = [row[name] for row in rows if name in row and math.isfinite(row[name])]
    return sum(values) / len(values) if values else math.nan
