"""The structured policy: its graph is its numpy twin, its memory is per episode, its feedback has the right sign."""

import numpy as np
import pytest
from allegro_ai.backends.numpy_graph import NumpyGraph
from allegro_ai.backends.onnxruntime_cpu import OnnxRuntimeCpu
from allegro_ai.golden import random_observations
from allegro_ai.graph import inspect
from allegro_ai.observation import ObservationSpec
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_ai.structured_graph import MEMORY, NEXT_MEMORY, build_structured_onnx, state_entry
from allegro_ai.structured_policy import NAMES, PARAMETERS, StructuredLayout, StructuredPolicy, inputs, spread, start
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

HAND = load_hand()


def parameters(seed=0, touch=True):
    return start(touch) + 2.0 * spread(touch) * np.random.default_rng(seed).normal(size=len(NAMES))


def observations(steps=6, seed=0, batch=8):
    seen = random_observations(HAND, ObservationSpec(), batch, steps, seed)
    rng = np.random.default_rng(seed)
    for o in seen:
        o['gravity_palm'] = rng.uniform(-9.81, 9.81, (batch, 3)).astype(np.float32)
    return seen


@pytest.mark.parametrize('engine', [OnnxRuntimeCpu, NumpyGraph])
@pytest.mark.parametrize('touch', [True, False])
def test_graph_and_numpy_twin_agree_over_a_sequence(engine, touch):
    values = parameters(3, touch)
    data = build_structured_onnx(HAND, values, touch).SerializeToString()
    state = Recurrence(MEMORY, tuple(state_entry(HAND)['shape']), NEXT_MEMORY)
    shipped = GraphPolicy(engine(data, inspect(data).spec), inputs(touch), 'action', recurrences=[state])
    twin, loud = StructuredPolicy(HAND, values), 0.0
    for batch in (slice(0, 1), slice(0, 8)):
        shipped.reset()
        twin.reset()
        for o in observations():
            one = {name: value[batch] for name, value in o.items()}
            expected = twin.act(one)
            np.testing.assert_allclose(shipped.act(one), expected, atol=1e-5)
            loud = max(loud, float(np.abs(expected).max()))
    assert loud > 0.5, 'the comparison would pass for silence'


def test_a_population_acts_as_its_members():
    rows = np.stack([parameters(k) for k in range(8)])
    together, seen = StructuredPolicy(HAND, rows), observations()
    alone = [StructuredPolicy(HAND, row) for row in rows]
    for o in seen:
        actions = together.act(o)
        for k, member in enumerate(alone):
            own = member.act({name: value[k:k + 1] for name, value in o.items()})
            np.testing.assert_allclose(actions[k:k + 1], own, atol=1e-6)


def test_memory_is_forgotten_where_asked():
    policy, fresh = StructuredPolicy(HAND, parameters(1)), StructuredPolicy(HAND, parameters(1))
    seen = observations()
    for o in seen[:-1]:
        policy.act(o)
    which = np.arange(8) < 3
    policy.reset(which)
    after, begun = policy.act(seen[-1]), fresh.act(seen[-1])
    np.testing.assert_array_equal(after[which], begun[which])
    assert (np.abs(after[~which] - begun[~which]).max(axis=1) > 0).all()


def test_the_arm_without_touch_neither_weighs_nor_reads_it():
    touching = [p.touch for p in PARAMETERS]
    assert not start(False)[touching].any()
    assert not spread(False)[touching].any()
    assert start(True)[touching].any()
    assert not [name for name in inputs(False) if name.startswith('tactile')]
    policy = StructuredPolicy(HAND, parameters(2, touch=False))
    seen = observations()[0]
    public = {name: value for name, value in seen.items() if not name.startswith('tactile')}
    np.testing.assert_array_equal(policy.act(seen), StructuredPolicy(HAND, parameters(2, touch=False)).act(public))


def test_feedback_has_the_sign_that_its_name_says():
    quiet = {p.name: 0.0 for p in PARAMETERS} | dict.fromkeys(StructuredLayout(HAND).roles, 1.0)
    still = {k: np.zeros_like(v) for k, v in observations(1, batch=1)[0].items()}
    still['grip_class'][:, 1] = 1.0
    opened = {**still, 'joint_target_error': np.full((1, 16), 0.05, dtype=np.float32)}      # moved back, against it

    def change(name, value=0.5):
        values = np.array([({**quiet, 'feedback_fragile': 1.0} | {name: value})[n] for n in NAMES])
        return StructuredPolicy(HAND, values).act(opened) - StructuredPolicy(HAND, values).act(still)

    flexion, aside = HAND.flexion, ~HAND.flexion
    for name in ('stiffness', 'load', 'load_hand', 'pushed', 'motion', 'motion_hand'):
        assert (change(name)[0, flexion] > 0).all(), name
        assert not change(name)[0, aside].any(), name
    assert (change('side_stiffness')[0, aside] > 0).all()
    assert not change('side_stiffness')[0, flexion].any()


def test_wrong_parameters_are_refused():
    for bad in (np.zeros(5), np.full(len(NAMES), np.nan), np.zeros((2, 2, len(NAMES)))):
        with pytest.raises(ConfigError, match='finite parameters'):
            StructuredPolicy(HAND, bad)
    with pytest.raises(ConfigError, match='finite parameters'):
        build_structured_onnx(HAND, np.full(len(NAMES), np.inf))
    with pytest.raises(ConfigError, match='structured policy needs index'):
        StructuredLayout(load_hand('plexus'))
