"""Policies with history, recurrent state and a slip head in the loop; their recording, replayed step by step."""

import dataclasses

import numpy as np
import onnx
import pytest
from ai_bundles import PROVENANCE
from allegro_ai.backends import GraphSpec
from allegro_ai.backends.onnxruntime_cpu import OnnxRuntimeCpu
from allegro_ai.export import linear_contract, term_entry, write_bundle
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import MS, GraspLoop, JointSample, TouchSample
from allegro_ai.observation import ObservationSpec
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_ai.replay import read_step, replay, skew, state_names, state_values
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from onnx import TensorProto, helper, numpy_helper

from allegro_ai import golden, ood

HAND = load_hand()
N, TAXELS = len(HAND.joints), len(HAND.taxels)
PERIOD = 20 * MS
STEPS = 3


def graph():
    """Looks back three steps, remembers half of its last answer, and guesses a slip from it."""
    weights = np.random.default_rng(1).normal(0, 1.0, (STEPS * N, N)).astype(np.float32)
    constants = [numpy_helper.from_array(value, name) for name, value in {
        'shape': np.array([-1, STEPS * N], dtype=np.int64), 'weights': weights, 'half': np.float32(0.5)}.items()]
    nodes = [
        helper.make_node('Reshape', ['joint_target_error', 'shape'], ['flat']),
        helper.make_node('MatMul', ['flat', 'weights'], ['seen']),
        helper.make_node('Mul', ['memory', 'half'], ['remembered']),
        helper.make_node('Add', ['seen', 'remembered'], ['sum']),
        helper.make_node('Tanh', ['sum'], ['action']),
        helper.make_node('Identity', ['action'], ['memory_out']),
        helper.make_node('ReduceMean', ['action'], ['mean'], axes=[1], keepdims=1),
        helper.make_node('Sigmoid', ['mean'], ['slip_probability']),
    ]

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    made = helper.make_graph(
        nodes, 'memory', [value('joint_target_error', 'batch', STEPS, N), value('memory', 1, N)],
        [value('action', 'batch', N), value('memory_out', 1, N), value('slip_probability', 'batch', 1)], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid('', 17)], ir_version=10)


class OneByOne:
    """Golden vectors of a policy whose recurrent state has room for one hand."""

    def __init__(self, proto):
        self.proto, self.policies, self.extra = proto, [], {}

    def reset(self, which=None):
        self.policies.clear()

    def act(self, observation):
        count = len(observation['joint_target_error'])
        if not self.policies:
            spec = GraphSpec({'joint_target_error': (None, STEPS, N), 'memory': (1, N)}, {})
            engine = OnnxRuntimeCpu(self.proto.SerializeToString(), spec)
            self.policies = [
                GraphPolicy(engine, ['joint_target_error'], 'action', stack=STEPS, extras=['slip_probability'],
                            recurrences=[Recurrence('memory', (1, N), 'memory_out')]) for _ in range(count)]
        actions = [p.act({k: v[i:i + 1] for k, v in observation.items()}) for i, p in enumerate(self.policies)]
        self.extra = {'slip_probability': np.concatenate([p.extra['slip_probability'] for p in self.policies])}
        return np.concatenate(actions)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    contract = linear_contract(HAND, name='memory', version='0.0.1', provenance={**PROVENANCE, 'touch_used': False},
                               headline=None, start_pose=HAND.pose('home'), safety={'ood_stop': 1e6})
    contract['inputs'] = [term_entry(HAND, 'joint_target_error')]
    contract['runtime'] |= {
        'history': {'kind': 'stack', 'steps': STEPS},
        'state': [{'name': 'memory', 'shape': [1, N], 'init': 'zeros', 'output': 'memory_out'}]}
    contract['extra_outputs'] = [{
        'name': 'slip_probability', 'kind': 'probability/slip', 'unit': '1', 'shape': [1], 'elements': ['object'],
        'range': [0, 1], 'definition': 'of nothing, for a test'}]
    observations = golden.random_observations(HAND, ObservationSpec(), 64, 5)
    joined = {name: np.concatenate([o[name] for o in golden.random_observations(HAND, ObservationSpec(), 200, 4, 1)])
              for name in observations[0]}
    proto = graph()
    onnx.checker.check_model(proto)
    return write_bundle(
        tmp_path_factory.mktemp('memory') / 'bundle', HAND, contract, proto,
        golden_arrays=golden.record(OneByOne(proto), observations, ['joint_target_error']), ood_arrays=ood.fit(joined),
        evaluation={'status': 'not evaluated'}, train={'method': 'none'})


class Run:
    """A loop on a hand that lags behind its targets; everything that the node would publish."""

    def __init__(self, bundle):
        self.now, self.bundle = 1_000 * PERIOD, bundle
        self.loop = GraspLoop(bundle, bundle.policy(), lambda: self.now)
        self.position = HAND.pose('home') + 0.1
        self.recorded, self.positions, self.ticks = [], {}, []
        self.rng = np.random.default_rng(0)

    def grasp(self, steps):
        self.loop.request('grasp')
        begun = len(self.recorded)
        while len(self.recorded) < begun + steps:
            self.now += PERIOD
            stamp = self.now - 5 * MS
            self.positions[stamp] = self.position
            touch = TouchSample(stamp, np.full(TAXELS, 3e3), np.ones(TAXELS, dtype=bool))
            tick = self.loop.tick(JointSample(stamp, self.position.copy()), touch)
            self.loop.issued(self.now + MS)
            assert self.loop.phase != Phase.HOLD, self.loop.reason
            if tick.action is not None:
                self.ticks.append(tick)
                values = state_values(self.bundle, tick, self.loop.controller.target[0])
                self.recorded.append(read_step(self.bundle, tick.stamp_ns, state_names(self.bundle), values))
            moved = self.position + 0.6 * (tick.target - self.position) + self.rng.normal(0, 0.01, N)
            self.position = np.clip(moved, HAND.lower, HAND.upper)
        return self


def test_a_recorded_run_replays_exactly_over_two_grasps(bundle):
    run = Run(bundle).grasp(20)
    run.loop.request('hold', 'test')
    run.loop.tick(None, None)
    run.grasp(20)
    assert [step.number for step in run.recorded] == [*range(20), *range(20)], 'history and state begin anew with RUN'
    assert replay(bundle.policy(), run.recorded).max() < 1e-5
    assert skew(bundle, run.recorded[:20], run.positions).max() < 1e-6
    kept = [dataclasses.replace(step, number=step.number or 1) for step in run.recorded]
    assert replay(bundle.policy(), kept)[20:23].max() > 1e-3, 'without the reset the second grasp would differ'


def test_a_skewed_pairing_is_detected(bundle, monkeypatch):
    """The peer's defect: the state of before a target is paired with that target."""
    run = Run(bundle)
    build, last = run.loop.builder.update, []

    def skewed(stamp_ns, position, *rest, **named):
        last.append(position)
        return build(stamp_ns, last[-2] if len(last) > 1 else position, *rest, **named)

    monkeypatch.setattr(run.loop.builder, 'update', skewed)
    run.grasp(20)
    assert replay(bundle.policy(), run.recorded).max() < 1e-5, 'the actions follow from what was seen'
    assert skew(bundle, run.recorded, run.positions).max() > 1e-3, 'but what was seen did not belong together'


def test_swapped_inputs_are_detected(bundle):
    steps = Run(bundle).grasp(5).recorded
    swapped = [dataclasses.replace(s, observation={n: v[:, ::-1] for n, v in s.observation.items()}) for s in steps]
    assert replay(bundle.policy(), swapped).max() > 1e-3
    with pytest.raises(ConfigError, match='does not belong to memory'):
        read_step(bundle, 0, state_names(bundle)[::-1], np.zeros(len(state_names(bundle))))


def test_the_slip_head_is_reported_only_within_its_bounds(bundle):
    run = Run(bundle).grasp(4)
    assert all(0 < float(t.extra['slip_probability'][0]) < 1 for t in run.ticks)
    assert run.ticks[-1].score > 0
    run.loop.policy.backend.run = lambda feed, run=run.loop.policy.backend.run: {
        **run(feed), 'slip_probability': np.array([[np.nan]], dtype=np.float32)}
    run.loop.request('hold', 'test')
    run.loop.tick(None, None)
    assert run.grasp(2).ticks[-1].extra == {}
