"""A whole step in one engine call does what the numpy path does: same targets, same holds, same sentences."""

import numpy as np
import pytest
from ai_bundles import PROVENANCE, write_random_bundle, write_recurrent_bundle
from allegro_ai.affine import fold
from allegro_ai.backends import BACKENDS
from allegro_ai.export import policy_contract, write_bundle
from allegro_ai.fused_step import TOLERANCE, FusedStep, Seen, check, fuse
from allegro_ai.graph import inspect
from allegro_ai.grasp import Phase
from allegro_ai.grasp_loop import MS, GraspLoop, JointSample, TouchSample
from allegro_ai.observation import ObservationSpec, terms
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_ai.structured_graph import build_structured_onnx, state_entry
from allegro_ai.structured_policy import inputs as structured_inputs
from allegro_ai.structured_policy import start as structured_start
from allegro_description.errors import BundleError
from allegro_description.model import load_hand
from onnx import TensorProto, helper, numpy_helper

from allegro_ai import golden, ood

HAND = load_hand()
N, TAXELS = len(HAND.joints), len(HAND.taxels)
PERIOD = 20 * MS
EVERY_TERM = tuple(terms(HAND))


def stacked_graph(steps=3):
    """Looks at three observations of every term there is; nothing of it is affine."""
    rng, sizes = np.random.default_rng(2), {name: len(t.elements) for name, t in terms(HAND).items()}
    weights = rng.normal(0, 0.02, (steps * sum(sizes.values()), N)).astype(np.float32)
    constants = [numpy_helper.from_array(value, name) for name, value in {
        'shape': np.array([-1, len(weights)], dtype=np.int64), 'weights': weights}.items()]
    nodes = [helper.make_node('Concat', list(sizes), ['all'], axis=2), helper.make_node('Tanh', ['all'], ['bounded']),
             helper.make_node('Reshape', ['bounded', 'shape'], ['flat']),
             helper.make_node('MatMul', ['flat', 'weights'], ['sum']), helper.make_node('Tanh', ['sum'], ['action'])]
    made = helper.make_graph(
        nodes, 'stacked',
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ['batch', steps, k]) for n, k in sizes.items()],
        [helper.make_tensor_value_info('action', TensorProto.FLOAT, ['batch', N])], constants)
    return helper.make_model(made, ir_version=8, opset_imports=[helper.make_opsetid('', 17)])


def bundle_of(folder, proto, inputs, *, steps=1, states=()):
    document = policy_contract(HAND, name='whole', version='0.0.1', provenance=PROVENANCE, headline=None,
                               inputs=inputs, steps=steps, normalisation='none', states=states,
                               start_pose=HAND.pose('home'), safety={'ood_stop': 1e6, 'ood_warn': 3.0})
    data = proto.SerializeToString()
    policy = GraphPolicy(BACKENDS.load('onnxruntime')(data, inspect(data).spec), inputs, 'action', stack=steps,
                         recurrences=[Recurrence(s['name'], tuple(s['shape']), s['output']) for s in states])
    walks = golden.random_observations(HAND, ObservationSpec(), 64, 4)
    recorded = [golden.record(policy, [{n: v[k:k + 1] for n, v in step.items()} for step in walks], inputs)
                for k in range(64)]
    samples = golden.random_observations(HAND, ObservationSpec(), 200, 4, 1)
    return write_bundle(
        folder, HAND, document, proto, golden_arrays={n: np.concatenate([r[n] for r in recorded]) for n in recorded[0]},
        ood_arrays=ood.fit({name: np.concatenate([o[name] for o in samples]) for name in samples[0]}),
        evaluation={'status': 'not evaluated'}, train={'method': 'none'})


def write(kind, folder):
    if kind == 'linear':
        return write_random_bundle(folder, safety={'ood_stop': 1e6})
    if kind == 'recurrent':
        return write_recurrent_bundle(folder)
    if kind == 'stacked':
        return bundle_of(folder, stacked_graph(), EVERY_TERM, steps=3)
    parameters = structured_start() + np.random.default_rng(0).normal(0, 0.1, structured_start().shape)
    return bundle_of(folder, build_structured_onnx(HAND, parameters), structured_inputs(True),
                     states=[state_entry(HAND)])


KINDS = ('linear', 'recurrent', 'stacked', 'structured')


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    return {kind: write(kind, tmp_path_factory.mktemp('whole') / kind) for kind in KINDS}


class Pair:
    """Two loops on the same measurements, one of them with whole steps."""

    def __init__(self, bundle, mode='sim'):
        self.now, self.bundle = 1_000 * PERIOD, bundle
        policies = [bundle.policy(), bundle.policy()]
        self.step, reason = fuse(bundle, policies[0])
        assert self.step is not None, reason
        self.loops = [GraspLoop(bundle, policy, lambda: self.now, mode=mode, fused=fused)
                      for policy, fused in zip(policies, (self.step, None), strict=True)]
        self.position, self.runs = HAND.pose('home') + 0.02, 0
        run = self.step.run

        def counted(*args):
            self.runs += 1
            return run(*args)

        self.step.run = counted

    def tick(self, pressure=None, valid=None, *, position=None, age=5 * MS, touch=True, compare=True, **rest):
        self.now += PERIOD
        stamp = self.now - age
        pressure = np.full(TAXELS, 3e3) if pressure is None else pressure
        valid = np.ones(TAXELS, dtype=bool) if valid is None else valid
        joints = JointSample(stamp, self.position if position is None else position)
        ticks = [loop.tick(joints, TouchSample(stamp, pressure, valid) if touch else None, **rest)
                 for loop in self.loops]
        one, two = self.loops
        if compare:
            same(*ticks)
            np.testing.assert_allclose(one.controller.target, two.controller.target, rtol=0, atol=TOLERANCE)
            assert one.score == pytest.approx(two.score, rel=TOLERANCE)
        assert (one.phase, one.reason, one.counts) == (two.phase, two.reason, two.counts)
        for loop in self.loops:
            loop.issued(self.now)
        if ticks[1].target is not None:
            self.position = np.minimum(ticks[1].target, np.where(HAND.flexion, HAND.pose('home') + 0.35, 9.0))
        return ticks

    def until_run(self):
        for loop in self.loops:
            loop.request('grasp')
        while self.loops[1].phase != Phase.RUN:
            self.tick(compare=False)
        for _ in range(2):
            self.tick()
        return self


def same(one, two):
    assert (one.phase, one.stamp_ns, one.number, one.events) == (two.phase, two.stamp_ns, two.number, two.events)
    for name in ('target', 'action'):
        found, wanted = getattr(one, name), getattr(two, name)
        assert (found is None) == (wanted is None)
        if found is not None:
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert one.score == pytest.approx(two.score, rel=TOLERANCE)
    assert one.extra.keys() == two.extra.keys()
    for name in one.extra:
        np.testing.assert_allclose(one.extra[name], two.extra[name], rtol=0, atol=TOLERANCE)
    assert (one.observation is None) == (two.observation is None)
    if one.observation is not None:
        for name in one.observation:  # each is fed with its own targets, which differ by rounding
            np.testing.assert_allclose(one.observation[name], two.observation[name], rtol=1e-6, atol=TOLERANCE)


@pytest.mark.parametrize('mode', ['sim', 'shadow'])
@pytest.mark.parametrize('kind', KINDS)
def test_both_ways_decide_the_same(bundles, kind, mode):
    rng, pair = np.random.default_rng(0), Pair(bundles[kind], mode).until_run()
    for number in range(60):
        pressure = rng.uniform(0, 7e4, TAXELS) * (rng.random(TAXELS) < 0.6)
        pressure[rng.random(TAXELS) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
        if number == 30:
            for loop in pair.loops:
                loop.builder.set_grip('fragile')
        followed = None if mode == 'sim' else pair.position + rng.normal(0, 0.01, N)
        pair.tick(pressure, rng.random(TAXELS) > 0.1, position=pair.position + rng.normal(0, 0.01, N),
                  touch=rng.random() > 0.1, followed=followed)
    assert pair.loops[0].phase == Phase.RUN
    assert pair.runs > 55
    for loop in pair.loops:
        loop.request('hold', 'enough')
    pair.tick()
    before = pair.runs
    pair.until_run()
    assert pair.runs > before, 'a second grasp begins anew'


@pytest.mark.parametrize(('fault', 'reason'), [
    ({'position': np.full(N, np.nan)}, 'NaN or infinite'),
    ({'position': np.full(N - 1, 0.1)}, 'shape'),
    ({'pressure': np.zeros(TAXELS - 1)}, 'taxel pressures have shape'),
    ({'age': 500 * MS}, 'old'),
    ({'age': -500 * MS}, 'future'),
    ({'skipped': 100}, 'late by 100 periods'),
])
def test_bad_measurements_hold_as_ever(bundles, fault, reason):
    pair = Pair(bundles['structured']).until_run()
    frozen = pair.loops[0].controller.target.copy()
    pair.tick(**fault)
    assert pair.loops[0].phase == Phase.HOLD
    assert reason in pair.loops[0].reason
    np.testing.assert_array_equal(pair.loops[0].controller.target, frozen)


@pytest.mark.filterwarnings('error')
def test_infinite_numbers_are_dealt_with_without_a_warning(bundles):
    pair = Pair(bundles['structured']).until_run()
    pair.tick(np.where(np.arange(TAXELS) % 3, 3e3, np.inf))
    assert pair.loops[0].phase == Phase.RUN
    pair.tick(position=np.full(N, np.inf))
    assert 'NaN or infinite' in pair.loops[0].reason
    pair = Pair(bundles['structured']).until_run()
    pair.step.action[0, 3] = np.inf
    assert not pair.step.finite()


def test_limits_hold_as_ever(bundles):
    pair = Pair(bundles['structured']).until_run()
    for _ in range(60):
        pair.tick(np.full(TAXELS, 3e5))
    assert 'a fingertip is pressed with 300 kPa' in pair.loops[0].reason
    pair = Pair(bundles['structured']).until_run()
    for loop in pair.loops:
        loop._stop, loop._warn = 1e-6, 1e-7
    for _ in range(60):
        pair.tick()
    assert 'from the training data, limit' in pair.loops[0].reason


@pytest.mark.parametrize(('answer', 'reason'), [(np.nan, 'NaN or infinite actions'), (np.inf, 'NaN or infinite'),
                                                (RuntimeError('lost'), 'inference failed: RuntimeError: lost')])
def test_an_engine_that_fails_holds_where_it_was(bundles, answer, reason):
    pair = Pair(bundles['recurrent']).until_run()
    loop, run = pair.loops[0], pair.step._run
    frozen = loop.controller.target.copy()

    def broken(binding):
        run(binding)
        if isinstance(answer, Exception):
            raise answer
        pair.step.action[0, 3] = answer
        pair.step.target[...] = np.nan

    pair.step._run = broken
    pair.now += PERIOD
    tick = loop.tick(JointSample(pair.now, pair.position), None)
    assert (loop.phase, tick.phase) == (Phase.HOLD, Phase.HOLD)
    assert reason in loop.reason
    np.testing.assert_array_equal(tick.target, frozen[0])
    np.testing.assert_array_equal(loop.controller.target, frozen)


def test_inference_over_its_budget_holds(bundles):
    pair = Pair(bundles['structured']).until_run()
    loop = pair.loops[0]
    frozen, loop._budget_ns = loop.controller.target, 0
    for _ in range(60):
        pair.now += PERIOD
        tick = loop.tick(JointSample(pair.now, pair.position), None)
        if loop.phase == Phase.HOLD:
            break
        frozen = loop.controller.target.copy()
    assert 'inference takes' in loop.reason
    np.testing.assert_array_equal(tick.target, frozen[0])


def test_a_step_that_computes_something_else_is_not_used(bundles):
    policy = bundles['linear'].policy()
    other = bundles['linear'].graph
    step = FusedStep(bundles['linear'], other)
    assert check(step, bundles['linear'], policy) < 1
    step._zeros[:] = 0.0
    run = step._run
    step._run = lambda binding: (run(binding), step.action.__iadd__(1e-5))
    with pytest.raises(BundleError, match='differs from the numpy path in action'):
        check(step, bundles['linear'], policy)


def test_what_cannot_be_fused_says_why(bundles):
    bundle = bundles['linear']
    assert fuse(bundle, bundle.policy('numpy')) == (None, 'only the backend onnxruntime runs whole steps')
    policy = bundle.policy()
    policy.graph = bundles['structured'].graph
    step, reason = fuse(bundle, policy)
    assert step is None
    assert reason
    policy.graph = bundle.graph.replace(b'squeeze', b'step.xx')
    step, reason = fuse(bundle, policy)
    assert step is None
    assert 'step.' in reason


@pytest.mark.parametrize('kind', ['linear', 'structured'])
def test_folding_keeps_the_outputs_and_saves_operators(bundles, kind):
    import onnx
    bundle, rng = bundles[kind], np.random.default_rng(1)
    proto = onnx.load_model_from_string(bundle.graph)
    spec = bundle.report.spec
    shapes = {name: tuple(1 if n is None else n for n in shape) for name, shape in spec.inputs.items()}
    nodes, constants = fold(proto.graph.node, proto.graph.initializer, shapes, list(spec.outputs), 17)
    assert len(nodes) < len(proto.graph.node) / (1 if kind == 'structured' else 3)
    folded = onnx.ModelProto()
    folded.CopyFrom(proto)
    del folded.graph.node[:], folded.graph.initializer[:]
    folded.graph.node.extend(nodes)
    folded.graph.initializer.extend(constants)
    engines = [BACKENDS.load('onnxruntime')(g, spec) for g in (bundle.graph, folded.SerializeToString())]
    for _ in range(20):
        feed = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        one, two = (engine.run(feed) for engine in engines)
        for name in spec.outputs:
            np.testing.assert_allclose(one[name], two[name], rtol=0, atol=2e-5)


def test_what_was_seen_is_cut_out_by_name():
    seen = Seen(np.arange(5, dtype=np.float32)[None], {'a': slice(0, 2), 'b': slice(2, 5)})
    assert list(seen) == ['a', 'b']
    assert len(seen) == 2
    np.testing.assert_array_equal(seen['b'], [[2, 3, 4]])
    with pytest.raises(KeyError):
        seen['c']
