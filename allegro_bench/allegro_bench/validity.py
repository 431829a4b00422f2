"""Whether a run's numbers may be believed, with machine-readable reasons and what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allegro_bench.environment import preflight, reason
from allegro_bench.statistics import needed

OTHER_LOAD = 0.1
"""Cores; more than this used by processes that are no part of the suite is foreign load."""

MOST_REASONS = 4
"""So many reasons of holds are spelt out; the account in the result has more."""

INVALID = {'no_inference', 'system_changed', 'no_release'}


def check(result: Mapping[str, Any], changes: list[dict[str, str]], *, other_load: float | None) -> dict[str, Any]:
    """The ``validity`` section of a result.

    Args:
        result: all other sections.
        changes: facts of the system that changed during the run.
        other_load: CPU used by processes that are no part of the suite, cores; None where unknown.

    Returns:
        ``status``: ``invalid`` (do not use), ``degraded`` (usable for what the reasons leave), ``valid``; ``reasons``.
    """
    account, found = result['account'], list(changes)
    unmatched = account['unmatched']
    n = sum(b['n_completed'] for b in result['blocks'])
    if n == 0 and unmatched['inference'] > 0:
        found.append(reason('no_release', 'inference_release', 'inferences were heard, but no release stamps: '
                            'response times and misses cannot be computed', 'publish inference_release beside '
                            'inference, with the same header.stamp'))
    elif n == 0:
        found.append(reason('no_inference', 'inference', 'not one inference was heard',
                            'is the policy running, in this namespace and ROS_DOMAIN_ID, and asked to grasp?'))
    elif any(unmatched.values()):
        found.append(reason('unmatched', 'inference', f'{unmatched["inference"]} inferences without release stamp and '
                            f'{unmatched["inference_release"]} release stamps without inference are not counted',
                            'free the machine: messages were lost on their way to the profiler'))
    if account['unexplained']:
        found.append(reason('unexplained_gaps', 'inference', f'{account["unexplained"]} of {account["skipped"]} '
                            'skipped ticks follow no busy tick: the loop woke late, had no new observation, or '
                            'messages were lost; they are counted as missed',
                            'free the machine, or run the profiler with less beside it'))
    if account['refused']:
        found.append(reason('refused', 'inference', f'{account["refused"]} inferences with stamps in an impossible '
                            'order were not counted', 'check that all nodes use the same clock'))
    if account['hold_reasons']:
        listed, more = account['hold_reasons'][:MOST_REASONS], len(account['hold_reasons']) - MOST_REASONS
        reasons = '; '.join(listed) + (f'; and {more} other reasons' if more > 0 else '')
        found.append(reason('policy_held', 'policy', f'the policy stopped inferring and froze its target: {reasons}',
                            'these stretches are pauses and not misses; mend the cause, then measure again'))
    for entry in result['summary']:
        if n and entry['n_completed'] < needed(0.99):
            found.append(reason('too_few_ticks', f'summary/{entry["backend"]}', f'{entry["n_completed"]} ticks after '
                                f'warm-up; a p99 needs {needed(0.99)}', 'measure longer'))
        if n and entry['cpu_s_per_inference'] is None:
            found.append(reason('no_cpu_time', f'summary/{entry["backend"]}', 'CPU time per inference is unknown',
                                'measure for at least 5 s after warm-up, with the policy\'s diagnostics in reach'))
    if other_load is not None and other_load > OTHER_LOAD:
        found.append(reason('other_load', 'system', f'processes beside the known nodes used {other_load:.2f} cores',
                            'stop other programs; a simulated hand that announces no process id counts as one'))
    found += preflight(result['system'])
    status = 'valid' if not found else 'degraded'
    if any(r['code'] in INVALID for r in found):
        status = 'invalid'
    return {'status': status, 'reasons': found}
