"""One recording, several bundles: every metric group of each, and what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle, load_bundle
from allegro_ai.policy import Policy
from allegro_description.errors import AllegroError

from allegro_bench.replay import (
    coverage,
    difference,
    distribution,
    exactness,
    health,
    one_step,
    pacing,
    smoothness,
    touch_use,
)
from allegro_bench.replay.findings import Finding, ordered
from allegro_bench.replay.inputs import Inputs
from allegro_bench.replay.logged_past import TOLERANCE
from allegro_bench.replay.pairing import REMEDY_SKEW, pairing_findings
from allegro_bench.replay.plan import Plan, make_plan
from allegro_bench.replay.runner import OWN, TEACHER, Trace, holds, run
from allegro_bench.replay.sensors import sensor_findings
from allegro_bench.replay.verdict import CANNOT_SAY, HEADER, verdicts

SCHEMA = {'name': 'allegro_bench.replay', 'version': 1}
PACED_S = 10.0
EPISODE_FACTS = ('index', 'start_s', 'end_s', 'outcome', 'shape', 'level', 'seed', 'mass_kg', 'grip_class')


@dataclass(frozen=True)
class Options:
    """What is asked of a replay.

    Attributes:
        engines: inference backends; the first one computes everything, all of them the exactness.
        controller: who computed the recorded commands, where the recording does not say.
        expert: whether that controller's targets are to be taken as right.
        grip: grip class where the recording says none.
        paced_s: how much is replayed at the recording's own pace, s.
        model_check: whether one step of the simulation is compared too.
    """

    engines: tuple[str, ...] = ('onnxruntime',)
    controller: str = ''
    expert: bool = False
    grip: str = 'normal'
    paced_s: float = PACED_S
    model_check: bool = False


@dataclass(frozen=True, eq=False)
class Replayed:
    """What the page draws of one policy."""

    name: str
    plan: Plan
    traces: dict[str, Trace]


def evaluate(inputs: Inputs, bundles: Sequence[str], options: Options | None = None,
             say: Callable[[str], None] = lambda _: None) -> tuple[dict[str, Any], list[Replayed]]:
    """Replay a recording with each bundle.

    Returns:
        The document, and what its page draws. A bundle that cannot be loaded or run has an entry that says why.
    """
    options = options or Options()
    found: list[Finding] = []
    policies, replayed = [], []
    for name in bundles:
        say(f'{name} …')
        try:
            entry, drawn = _one(inputs, name, options, found)
            replayed.append(drawn)
        except AllegroError as error:
            entry = {'name': name, 'error': str(error), 'verdict': [], 'reasons': []}
        policies.append(entry)
    if not replayed:  # what can be said without a policy is said all the same
        plan = make_plan(inputs, 0.02, 1.0)
        found += [*health.stream_findings(inputs, plan), *sensor_findings(inputs)]
        drawn_health = health.describe(inputs, plan)
    else:
        drawn_health = health.describe(inputs, replayed[0].plan)
    document = {
        'schema': dict(SCHEMA), 'header': HEADER,
        'run': {'created_utc': datetime.now(UTC).isoformat(timespec='seconds'), 'options': {
            'engines': list(options.engines), 'controller': options.controller or None, 'expert': options.expert,
            'grip': options.grip, 'paced_s': options.paced_s, 'model_check': options.model_check}},
        'recording': _recording(inputs, options),
        'findings': [f.as_dict() for f in ordered(found)],
        'input_health': drawn_health,
        'policies': policies,
        'cannot_say': list(CANNOT_SAY),
    }
    plain: dict[str, Any] = _plain(document)
    return plain, replayed


def _recording(inputs: Inputs, options: Options) -> dict[str, Any]:
    return {
        'name': inputs.name, 'hand': inputs.model.name, 'duration_s': inputs.duration_s,
        'controller': inputs.controller or options.controller or None,
        'controller_said_by': 'recording' if inputs.controller else 'command line' if options.controller else None,
        'grip': inputs.grip or None, 'damage': list(inputs.damage), 'sources': dict(inputs.sources),
        'episodes': [{k: e.get(k) for k in EPISODE_FACTS if k in e} for e in inputs.episodes],
        'remarks': [{'time_s': t, 'text': text} for t, text in inputs.remarks],
    }


def _one(inputs: Inputs, name: str, options: Options, found: list[Finding]) -> tuple[dict[str, Any], Replayed]:
    bundle = load_bundle(name, inputs.model)
    plan = plan_for(inputs, bundle)
    found += examine(inputs, plan, bundle)
    policy = bundle.policy(options.engines[0])
    try:
        return _measured(inputs, plan, bundle, policy, options, found)
    finally:
        policy.backend.close()


def plan_for(inputs: Inputs, bundle: Bundle) -> Plan:
    """The ticks at which a bundle's node would have stepped."""
    return make_plan(inputs, bundle.period_s, float(bundle.contract['runtime']['rate_tolerance']))


def examine(inputs: Inputs, plan: Plan, bundle: Bundle) -> list[Finding]:
    """What is wrong with the recording itself, seen by a policy of this bundle's rate and limits."""
    return [*health.stream_findings(inputs, plan, stale_ms=float(bundle.contract['safety']['stale_ms'])),
            *sensor_findings(inputs), *pairing_findings(inputs, plan, bundle.period_s, float(
                bundle.contract['runtime']['rate_tolerance']))]


def _measured(inputs: Inputs, plan: Plan, bundle: Bundle, policy: Policy, options: Options,
              found: list[Finding]) -> tuple[dict[str, Any], Replayed]:
    grip = options.grip
    traces = {feed: run(inputs, plan, bundle, policy, feed=feed, grip=grip) for feed in (TEACHER, OWN)}
    trace, own = traces[TEACHER], traces[OWN]
    if not len(trace):
        raise AllegroError(f'{bundle.name} answered no step: the recording holds no stretch in which a policy could be '
                           'at work, or every step was refused' + (f' ({trace.troubles[0][1]})' if trace.troubles else
                                                                   ''))
    controller = options.controller or inputs.controller
    touch = touch_use.describe(inputs, plan, trace, bundle, policy, grip=grip)
    found += touch_use.findings(touch, bundle.name, inputs.touch.topic if inputs.touch else '')
    held = holds(inputs, plan, bundle, policy, grip=grip)
    found += [Finding('hold', 'warning', '', when, None, f'the node would have held the hand: {reason}',
                      'See the plots around that time', bundle.name) for when, reason in held[:10]]
    compared = difference.describe(inputs, plan, traces, bundle, controller, expert=options.expert)
    found += lagging(inputs, plan, trace, bundle, controller)
    leak = leakage(inputs, bundle)
    if leak['leaked']:
        found.append(Finding('leak', 'fault', '', None, None, f'{bundle.name} was trained with this recording '
                             f'({", ".join(leak["leaked"])})', 'Judge it on a recording that it has never seen',
                             bundle.name))
    entry: dict[str, Any] = {
        'name': bundle.name, 'path': bundle.path.name, 'fingerprint': bundle.fingerprint,
        'engine': options.engines[0], 'rate_hz': float(bundle.contract['runtime']['rate_hz']), 'error': None,
        'coverage': coverage.describe(inputs, plan, trace, bundle),
        'distribution': distribution.describe(trace, bundle), 'action_difference': compared,
        'command_quality': smoothness.describe(own, bundle, policy), 'touch_use': touch,
        'latency': pacing.describe(inputs, plan, bundle, policy, options.paced_s),
        'determinism': _determinism(inputs, plan, trace, bundle, policy, options),
        'holds': [{'time_s': when, 'reason': reason} for when, reason in held],
        'refused_steps': [{'time_s': when, 'reason': reason} for when, reason in trace.troubles[:100]],
        'leakage': leak,
        'model_check': one_step.describe(inputs, plan, bundle) if options.model_check else
        {'checked': False, 'reason': 'not asked for; --model-check does it'},
    }
    entry['verdict'], entry['reasons'] = verdicts(entry)
    return entry, Replayed(bundle.name, plan, traces)


def _determinism(inputs: Inputs, plan: Plan, trace: Trace, bundle: Bundle, policy: Policy,
                 options: Options) -> dict[str, Any]:
    again = run(inputs, plan, bundle, policy, grip=options.grip)
    result: dict[str, Any] = {'bit_equal': exactness.same(trace, again),
                              'same_files': exactness.same_files(inputs, bundle), 'recorded_policy': False,
                              'engines': [], 'from_topics': None, 'reason': None, 'tolerance': TOLERANCE}
    try:
        steps = exactness.recorded_steps(inputs, bundle)
    except AllegroError as error:
        return result | {'reason': str(error)}
    logged = run(inputs, plan, bundle, policy, grip=options.grip, as_logged=True)
    return result | {
        'recorded_policy': True, 'from_topics': exactness.from_topics(inputs, plan, logged, bundle),
        'engines': [exactness.of_engine(inputs, bundle, steps, engine) for engine in options.engines]}


def lagging(inputs: Inputs, plan: Plan, trace: Trace, bundle: Bundle, controller: str) -> list[Finding]:
    """The finding that the policy's own recorded targets come steps too late or too early."""
    found = difference.lag(plan, trace, bundle)
    if controller != bundle.name or not found['found']:
        return []
    steps = int(found['best_steps'])
    topic = inputs.commands.topic if inputs.commands is not None else 'joint_commands'
    words = f'{abs(steps)} control {"steps" if abs(steps) > 1 else "step"} {"later" if steps > 0 else "earlier"}'
    at = found['correlation']
    return [Finding('one_step_skew', 'fault', topic, None, None,
                    f'the recorded targets change as the policy\'s answers do when they are taken {words} (correlation '
                    f'{at[str(steps)]:.2f}; as they are stamped {at["0"]:.2f})', REMEDY_SKEW, bundle.name)]


def leakage(inputs: Inputs, bundle: Bundle) -> dict[str, Any]:
    """Whether a file of the recording is named, by its hash, in the bundle's record of its training."""
    hashes = {str(v): str(k) for k, v in dict(inputs.sources.get('files', {})).items()}
    record = str(bundle.contract['provenance']['randomisation'])
    named = set(re.findall(rb'\b[0-9a-f]{64}\b', bytes(bundle.files.get(record, b''))))
    return {'record': record, 'recordings_named': len(named), 'hashes_known': len(hashes),
            'leaked': sorted(name for digest, name in hashes.items() if digest.encode() in named)}


def _plain(value: Any) -> Any:
    """Only what JSON knows; a number that is not finite is unknown."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
