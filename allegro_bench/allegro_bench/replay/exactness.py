"""Metric group 8: is what is replayed here what ran there?

Three questions, from weak to strong. Are two replays bit-equal? Do the recorded observations give the recorded actions,
on every engine? And do the recorded *topics* give the recorded observations, actions and targets: node equals offline
runner, asked step by step from the past that the node had (see ``logged_past``)? Where the answer is no, the first step
that differs and the reason are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_ai.replay import Step, read_step, replay, state_names
from allegro_description.errors import AllegroError, ConfigError
from numpy.typing import NDArray

from allegro_bench.replay.inputs import Inputs, Mask
from allegro_bench.replay.logged_past import TOLERANCE, Unsettled, remembers
from allegro_bench.replay.plan import Plan
from allegro_bench.replay.runner import Trace


def same(a: Trace, b: Trace) -> bool:
    """Whether two replays are equal bit by bit."""
    return (np.array_equal(a.tick, b.tick) and np.array_equal(a.action, b.action)
            and np.array_equal(a.target, b.target) and np.array_equal(a.score, b.score)
            and all(np.array_equal(a.observation[n], b.observation[n]) for n in a.observation))


def recorded_steps(inputs: Inputs, bundle: Bundle) -> list[Step]:
    """Every recorded inference of this bundle.

    Raises:
        ConfigError: no ``policy_state`` was recorded, or that of another policy.
    """
    if inputs.states is None or not len(inputs.states):
        raise ConfigError('policy_state was not recorded, so it cannot be shown that the node answered as the offline '
                          'runner does; record grasp_policy/policy_state')
    if tuple(state_names(bundle)) != inputs.state_names:
        if inputs.controller == bundle.name:
            odd = ', '.join(sorted(set(state_names(bundle)) ^ set(inputs.state_names))[:3]) or 'another order'
            raise ConfigError(f'policy_state was recorded by another version of the suite or of {bundle.name}: its '
                              f'columns differ ({odd}); record it again')
        raise ConfigError(f'policy_state was recorded with {inputs.controller or "another policy"}, not with '
                          f'{bundle.name}')
    if inputs.controller and inputs.controller != bundle.name:
        raise ConfigError(f'policy_state was recorded with {inputs.controller}, not with {bundle.name}')
    return [read_step(bundle, int(stamp), inputs.state_names, values)
            for stamp, values in zip(inputs.states.stamp_ns, inputs.states.values, strict=True)]


def same_files(inputs: Inputs, bundle: Bundle) -> bool | None:
    """Whether the recording names the hash of the bundle's very files; None where it names none."""
    recorded = str(dict(inputs.sources.get('metadata', {})).get('bundle_sha256', ''))
    return recorded == bundle.fingerprint if len(recorded) == 64 else None


def of_engine(inputs: Inputs, bundle: Bundle, steps: Sequence[Step], engine: str) -> dict[str, Any]:
    """The recorded observations once more through one engine: steps and largest difference of an action."""
    row: dict[str, Any] = {'engine': engine, 'steps': len(steps), 'largest': None, 'exact': None, 'first_step': None,
                           'first_s': None, 'reason': None}
    try:
        policy = bundle.policy(engine)
    except AllegroError as error:
        return row | {'reason': str(error)}
    try:
        differences = replay(policy, steps)
    finally:
        policy.backend.close()
    whole = _whole_runs(steps, bundle)
    if not whole.any():
        return row | {'reason': 'every recorded run began before the recording did, and the policy remembers'}
    row |= {'steps': int(whole.sum()), 'largest': float(differences[whole].max())}
    row['exact'] = bool(row['largest'] <= TOLERANCE)
    if not row['exact']:
        first = int(np.flatnonzero(whole & ~(differences <= TOLERANCE))[0])
        assert inputs.states is not None
        row |= {'first_step': first, 'first_s': float(inputs.seconds(inputs.states.received_ns[first])),
                'reason': _why(steps, first, inputs, bundle)}
    return row


def _whole_runs(steps: Sequence[Step], bundle: Bundle) -> np.ndarray:
    """Steps of runs that were recorded from their beginning; all of them for a policy without memory."""
    if not remembers(bundle):
        return np.ones(len(steps), dtype=bool)
    known, result = False, []
    for before, step in zip([None, *steps], steps, strict=False):
        if step.number == 0:
            known = True
        elif before is None or step.number != before.number + 1:
            known = False
        result.append(known)
    return np.array(result, dtype=bool)


def _why(steps: Sequence[Step], first: int, inputs: Inputs, bundle: Bundle) -> str:
    numbers = [s.number for s in steps]
    if first and numbers[first] not in (0, numbers[first - 1] + 1):
        return f'steps {numbers[first - 1] + 1} to {numbers[first] - 1} of this run are missing in the recording'
    if not all(np.isfinite(v).all() for v in steps[first].observation.values()):
        return 'the recorded observation holds values that are not finite'
    if same_files(inputs, bundle) is False:
        return ('the recording ran other files of that bundle (their hash is in its metadata): other weights, or '
                'another contract')
    if inputs.controller:
        return ('the engine or the weights answer otherwise: another version of the bundle, or another precision '
                '(the recording says it ran ' + inputs.controller + ')')
    return 'the engine or the weights answer otherwise: another bundle of the same terms, or another precision'


def from_topics(inputs: Inputs, plan: Plan, trace: Trace, bundle: Bundle) -> dict[str, Any]:
    """Observations, actions and targets of the offline runner on the topics against those that the node logged.

    Which touch sample each tick of the close used is not logged, and some terms remember it for a while. Steps at the
    beginning of a run, or after a joint state that was lost, at which only such terms differ are ``undetermined``: they
    are counted and not judged, and so are steps whose memory the recording does not tell.

    Args:
        inputs: the recording.
        plan: its ticks.
        trace: of :func:`~allegro_bench.replay.runner.run` with ``as_logged``.
        bundle: that ran.
    """
    state = plan.state[trace.tick]
    inside = np.array([plan.runs[r][3] for r in trace.run], dtype=bool)
    rows = np.flatnonzero((state >= 0) & ~(inside & remembers(bundle)))
    result: dict[str, Any] = {'steps': len(rows), 'recorded_steps': len(inputs.states or ()), 'undetermined': 0,
                              'terms': [], 'largest_action': None, 'largest_target_rad': None, 'exact': None,
                              'first_s': None, 'reason': None}
    off = {name: np.abs(trace.observation[name][rows] - logged[state[rows]].astype(np.float32)).max(axis=1)
           for name in bundle.inputs if (logged := inputs.columns(name)) is not None}
    judged = ~_undetermined(plan, trace, rows, {name: ~(values <= TOLERANCE) for name, values in off.items()})
    judged &= ~trace.adrift[rows]
    result['undetermined'] = int((~judged).sum())
    if not judged.any():
        return result | {'reason': 'no step of the recorded policy could be replayed from the topics'}
    wrong = np.zeros(len(rows), dtype=bool)
    for name, values in off.items():
        bad = judged & ~(values <= TOLERANCE)
        wrong |= bad
        result['terms'].append({'term': name, 'largest': float(values[judged].max()), 'differs': int(bad.sum()),
                                'first_s': float(trace.time_s[rows[bad][0]]) if bad.any() else None})
    for key, mine, logged in (('largest_action', trace.action, inputs.columns('action')),
                              ('largest_target_rad', trace.target, inputs.columns('target'))):
        if logged is not None:
            values = np.abs(mine[rows] - logged[state[rows]]).max(axis=1)
            result[key] = float(values[judged].max())
            wrong |= judged & ~(values <= TOLERANCE)
    result['exact'] = not bool(wrong.any())
    if wrong.any():
        first = float(trace.time_s[rows[wrong][0]])
        names = [t['term'] for t in result['terms'] if t['differs'] and t['first_s'] == first]
        result |= {'first_s': first, 'reason': (
            f'{", ".join(names)} rebuilt from the topics is not what the node saw' if names else
            'the observations agree, the answer does not')}
    return result


def _undetermined(plan: Plan, trace: Trace, rows: NDArray[np.intp], differs: dict[str, Mask]) -> Mask:
    """Of the steps ``rows``: those at which only terms differ that remember what the recording does not hold."""
    unsettled = Unsettled()
    return np.array([
        unsettled.step(int(trace.run[step]), bool(plan.lost[trace.tick[step]]),
                       {name for name, values in differs.items() if values[k]})
        for k, step in enumerate(rows)], dtype=bool)
