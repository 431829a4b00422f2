"""A short recording of the emulated hand (a held box, recorded by bag_recorder over ROS), and ways to spoil it."""

import dataclasses
from pathlib import Path

import numpy as np
from allegro_ai.export import linear_contract, write_bundle
from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import INPUTS, LinearLayout, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_ai.replay import state_names
from allegro_bench.replay.plan import make_plan
from allegro_bench.replay.runner import OWN, run
from allegro_description.model import load_hand

from allegro_ai import golden, ood

BAG = Path(__file__).parent / 'recordings' / 'held_box'
HAND = load_hand()


def linear_bundle(folder, *, touch=True, name='made_up', seed=0):
    """A linear policy with random weights; without touch it only says that it uses it."""
    layout = LinearLayout(HAND)
    weights = np.random.default_rng(seed).normal(0.0, 0.3, layout.size)
    if not touch:
        weights[layout.touch_mask()] = 0.0
    samples = golden.random_observations(HAND, ObservationSpec(), 200, 4, 1)
    document = linear_contract(
        HAND, name=name, version='0.0.1', headline=None, start_pose=HAND.pose('pregrasp'), provenance={
            'simulator': 'none', 'env': 'none', 'commit': 'unknown', 'steps': 0, 'seed': 0, 'wall_s': 0.0,
            'cpu': 'none', 'randomisation': 'train.yaml', 'touch_used': True})
    return write_bundle(
        folder, HAND, document, build_linear_onnx(HAND, weights),
        golden_arrays=golden.record(LinearPolicy(HAND, weights),
                                    golden.random_observations(HAND, ObservationSpec(), 64, 1), INPUTS),
        ood_arrays=ood.fit({n: np.concatenate([o[n] for o in samples]) for n in samples[0]}),
        evaluation={'status': 'not evaluated', 'reason': 'random weights, for tests'}, train={'method': 'none'})


def logged_by(inputs, bundle, blind=()):
    """The recording as if this bundle had been at work: its own targets and policy_state on the recorded measurements.

    So the tests do not depend on which version of a policy ran on the day of the recording. At the steps ``blind`` the
    touch that it had was too old.
    """
    plan = make_plan(inputs, bundle.period_s, 0.1)
    touch = plan.touch.copy()
    touch[[plan.runs[0][1] + step for step in blind]] = -1
    plan = dataclasses.replace(plan, touch=touch)
    trace = run(inputs, plan, bundle, bundle.policy(), feed=OWN)
    names = state_names(bundle)
    rows = plan.state[trace.tick]
    zeros = np.zeros((len(trace), 3))
    zeros[:, 0], zeros[:, 1], zeros[:, 2] = trace.number, inputs.column('run/latency_ms')[rows], trace.score
    values = np.concatenate([*(trace.observation[n] for n in bundle.inputs), trace.action, trace.target, zeros],
                            axis=1).astype(np.float64)
    states = dataclasses.replace(chosen(inputs.states, rows), values=values, valid=np.isfinite(values))
    commands = inputs.commands.values.copy()
    commands[inputs.commands.row_of(states.stamp_ns)] = trace.target
    return dataclasses.replace(inputs, states=states, state_names=tuple(names), controller=bundle.name,
                               commands=dataclasses.replace(inputs.commands, values=commands))


def chosen(stream, which):
    """Some rows of a stream."""
    return dataclasses.replace(stream, **{n: getattr(stream, n)[which] for n in (
        'received_ns', 'stamp_ns', 'values', 'valid')})


def spoilt(stream, change):
    """The stream with changed values."""
    return dataclasses.replace(stream, values=change(stream.values.copy()))


def without_state(inputs):
    return dataclasses.replace(inputs, states=None, state_names=())


# One entry per planted fault: what is done to the recording, the kind that must be found, its topic.


def late_targets(inputs):
    """joint_commands one control step late."""
    def change(values):
        values[1:] = values[:-1].copy()
        return values
    return dataclasses.replace(inputs, commands=spoilt(inputs.commands, change))


def old_positions(inputs):
    """The peer's defect: each observation shows the joint state of before its target."""
    seen = [i for i, n in enumerate(inputs.state_names) if n.startswith('joint_target_error/')]
    position = inputs.joints.values[inputs.joints.row_of(inputs.states.stamp_ns)]

    def change(values):
        values[1:, seen] += position[1:] - position[:-1]
        return values
    return dataclasses.replace(inputs, states=spoilt(inputs.states, change))


def swapped_joints(inputs):
    index, ring = ([HAND.joint_index(j) for j in f.joints] for f in (HAND.fingers[0], HAND.fingers[2]))

    def change(values):
        values[:, index + ring] = values[:, ring + index]
        return values
    return dataclasses.replace(inputs, joints=spoilt(inputs.joints, change))


def swapped_tips(inputs):
    a, b = HAND.tip_taxels[0], HAND.tip_taxels[2]

    def change(values):
        values[:, [a, b]] = values[:, [b, a]]
        return values
    return dataclasses.replace(inputs, touch=spoilt(inputs.touch, change))


def palm_times_ten(inputs):
    palm = next(i for i, t in enumerate(HAND.taxels) if t.finger == 'palm')

    def change(values):
        values[:, palm] *= 10
        return values
    return dataclasses.replace(inputs, touch=spoilt(inputs.touch, change), raw=spoilt(inputs.raw, change))


def frozen_taxel(inputs):
    cell = HAND.tip_taxels[1]
    first = int(np.flatnonzero(inputs.raw.values[:, cell] > 8000)[40])
    begin = inputs.raw.received_ns[first]

    def frozen(stream):
        rows = np.flatnonzero((stream.received_ns >= begin) & (stream.received_ns < begin + 1_500_000_000))

        def change(values):
            values[rows, cell] = values[rows[0], cell]
            return values
        return spoilt(stream, change)
    return dataclasses.replace(inputs, touch=frozen(inputs.touch), raw=frozen(inputs.raw))


def stale_positions(inputs):
    """An old sample republished with new stamps for half a second, while the hand closes."""
    commands = inputs.commands
    speed = np.abs(np.diff(commands.values, axis=0)).sum(axis=1)
    begin = commands.received_ns[int(np.argmax(np.convolve(speed, np.ones(20), mode='valid')))]

    def change(values):
        rows = np.flatnonzero((inputs.joints.received_ns >= begin) & (inputs.joints.received_ns < begin + 500_000_000))
        values[rows] = values[rows[0]]
        return values
    return dataclasses.replace(inputs, joints=spoilt(inputs.joints, change))


def silent_joints(inputs):
    """No joint states for 0.2 s while the policy is at work; so the node answers none of that time either."""
    middle = inputs.states.received_ns[len(inputs.states) // 2]

    def awake(stream):
        return chosen(stream, (stream.stamp_ns < middle) | (stream.stamp_ns > middle + 200_000_000))
    return dataclasses.replace(inputs, joints=awake(inputs.joints), commands=awake(inputs.commands),
                               states=awake(inputs.states))


def missed_by_the_recorder(inputs):
    """Joint states of 0.2 s are not in the recording, though the node answered them."""
    return dataclasses.replace(inputs, joints=silent_joints(inputs).joints)


def half_rate(inputs):
    """Every other control step."""
    return dataclasses.replace(inputs, states=chosen(inputs.states, slice(None, None, 2)),
                               commands=chosen(inputs.commands, slice(None, None, 2)))


PLANTED = {
    'late_targets': (late_targets, 'one_step_skew', 'joint_commands'),
    'late_targets_without_state': (lambda i: without_state(late_targets(i)), 'one_step_skew', 'joint_commands'),
    'old_positions': (old_positions, 'one_step_skew', 'policy_state'),
    'swapped_joints': (swapped_joints, 'swapped_fingers', 'joint_states'),
    'swapped_joints_without_state': (lambda i: without_state(swapped_joints(i)), 'swapped_fingers', 'joint_states'),
    'swapped_tips': (swapped_tips, 'swapped_fingers', 'tactile/points'),
    'palm_times_ten': (palm_times_ten, 'wrong_scale', 'tactile/raw'),
    'palm_times_ten_without_raw': (lambda i: dataclasses.replace(palm_times_ten(i), raw=None), 'wrong_scale',
                                   'tactile/points'),
    'frozen_taxel': (frozen_taxel, 'frozen_taxel', 'tactile/raw'),
    'frozen_taxel_without_raw': (lambda i: dataclasses.replace(frozen_taxel(i), raw=None), 'frozen_taxel',
                                 'tactile/points'),
    'stale_positions': (stale_positions, 'stale_joint_states', 'joint_states'),
    'stale_positions_without_state': (lambda i: without_state(stale_positions(i)), 'stale_joint_states',
                                      'joint_states'),
    'silent_joints': (silent_joints, 'stale_joint_states', 'joint_states'),
    'half_rate': (half_rate, 'wrong_rate', 'policy_state'),
}


def mutilated(inputs, seed):
    """Topics lost, thinned, cut, with other clocks or constant, and touch full of holes: whatever a bag may hold."""
    generator = np.random.default_rng(seed)

    def spoil(stream, kind):
        size = len(stream)
        if kind == 1:
            return chosen(stream, np.sort(generator.choice(size, max(1, int(size * generator.uniform(0.002, 0.9))),
                                                           replace=False)))
        if kind == 2:
            begin, end = np.sort(generator.integers(0, size + 1, 2))
            return chosen(stream, slice(begin, max(end, begin + 1)))
        if kind == 3:
            return dataclasses.replace(stream, stamp_ns=stream.stamp_ns + int(generator.integers(-10**9, 10**9)))
        return spoilt(stream, np.zeros_like) if kind == 4 else stream
    changed = {}
    for name in ('joints', 'commands', 'touch', 'raw', 'states'):
        kind = int(generator.integers(0, 10))
        if kind == 0 and name != 'joints':
            changed |= {name: None, **({'state_names': ()} if name == 'states' else {})}
        else:
            changed[name] = spoil(getattr(inputs, name), kind)
    if changed['touch'] is not None and generator.random() < 0.4:
        shape = changed['touch'].values.shape
        changed['touch'] = dataclasses.replace(changed['touch'], valid=generator.random(shape) < 0.7, values=np.where(
            generator.random(shape) < 0.3, np.nan, changed['touch'].values))
    return dataclasses.replace(inputs, **changed)
