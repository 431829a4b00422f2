"""Four words, and no other: what a replay may conclude about a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allegro_bench.replay.difference import DIFFERS_RAD
from allegro_bench.replay.logged_past import TOLERANCE

HEADER = 'open loop: actions were not executed'
RUNS, OUTSIDE, LATE, DIFFERS = WORDS = (
    'runs', 'out of distribution', 'timing not met', 'differs from recording')

CANNOT_SAY = (
    'whether the policy would have held the object: the recorded hand followed somebody\'s targets, and the policy '
    'never saw the consequences of its own',
    'whether a difference from the recording is good or bad: another answer may be the better one',
    'whether touch cells of two fingers were exchanged, where policy_state was not recorded: pressures alone do not '
    'show it, joint angles do',
    'anything about averages over fewer than 30 independent segments: neighbouring steps repeat one another',
)


def verdicts(policy: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Words for one policy, and a sentence for each.

    Args:
        policy: its entry of the document, sections filled.
    """
    words: list[str] = []
    reasons: list[str] = []

    def say(word: str, reason: str) -> None:
        words.append(word)
        reasons.append(f'{word}: {reason}')

    steps = policy['coverage']['steps']
    if steps:
        say(RUNS, f'{steps} steps answered with finite numbers on {policy["engine"]}'
            if policy['command_quality']['finite'] else f'{steps} steps answered, some of them not finite')
    far = policy['distribution']
    if far['out_of_distribution']:
        say(OUTSIDE, f'{far["above_warn"]:.0%} of the steps are farther from the training data than the bundle\'s '
            f'warning ({far["warn"]:g}), {far["above_stop"]:.0%} beyond its stop ({far["stop"]:g})')
    timing = policy['latency']
    if timing['measured'] and not timing['met']:
        say(LATE, f'{timing["miss"]["missed"]} of {timing["miss"]["n"]} steps later than {timing["deadline_ms"]:g} ms '
            'on this machine as it was loaded, '
            f'{timing["over_budget"]:.1%} of the steps over the budget of {timing["budget_ms"]:g} ms')
    reason = _differs(policy)
    if reason:
        say(DIFFERS, reason)
    return words, reasons


def _differs(policy: Mapping[str, Any]) -> str:
    known = policy['determinism']
    if known['recorded_policy']:
        bad = [row for row in known['engines'] if row['exact'] is False]
        if bad:
            return (f'{bad[0]["engine"]} is {bad[0]["largest"]:.2g} off the logged actions from step '
                    f'{bad[0]["first_step"]} ({bad[0]["first_s"]:.2f} s) on, allowed {TOLERANCE:g}; {bad[0]["reason"]}')
        topics = known['from_topics']
        if topics and topics['exact'] is False:
            return f'from {topics["first_s"]:.2f} s on: {topics["reason"]}'
        return ''
    compared = policy['action_difference']
    if not compared['compared']:
        return ''
    high = compared['teacher_forced']['p95_of_step_rad']
    if high is not None and high > DIFFERS_RAD:
        return (f'targets differ from those of {compared["controller"]} by up to {high:.3f} rad in 95 of 100 steps '
                '(largest joint of each step)')
    return ''
