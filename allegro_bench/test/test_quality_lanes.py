"""Episodes with lateness: without any they are the task's own; with it the hand follows what has arrived, exactly."""

import hashlib

import numpy as np
import pytest
from allegro_ai.bundle import load_bundle
from allegro_ai.evidence.wrong_scale import damaged
from allegro_ai.tasks.lanes import CONTROL_S, STEPS, SUBSTEPS
from allegro_ai.tasks.tactile_hold import TactileHold, episodes
from allegro_bench.quality.candidates import reference
from allegro_bench.quality.closed_loop import Scene, play
from allegro_bench.quality.delay import Trace, episode_plan
from allegro_bench.quality.late_lanes import LateLanes
from allegro_bench.quality.open_loop import deviation, observed, recorded
from allegro_bench.quality.planted import int8_like
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

MS = 1_000_000
T = round(CONTROL_S * 1e9)
HAND = load_hand('v5_sense', 'right')
BUNDLE = load_bundle('tactile_hold_linear', HAND)
SCENE = Scene('v5_sense', 'right', str(BUNDLE.path), BUNDLE.fingerprint, 'H2', 'L3')
SEEDS = (700_002, 700_011)


@pytest.fixture(scope='module')
def undelayed():
    return play(SCENE, reference(BUNDLE, T), SEEDS)


def test_without_delay_an_episode_is_the_task_s_own(undelayed):
    own = TactileHold(HAND, episodes(HAND, SEEDS, 'L3', 'H2')).run(BUNDLE.policy())
    assert [(p.success, p.kind) for p in undelayed] == [
        (o.result.success, p.kind) for o, p in zip(own, undelayed, strict=True)]
    assert [p.released for p in undelayed] == [round(o.result.finished_s / CONTROL_S) - 50 for o in own]
    assert [p.inferences for p in undelayed] == [p.released for p in undelayed]


def test_an_episode_does_not_know_what_runs_beside_it(undelayed):
    assert play(SCENE, reference(BUNDLE, T), SEEDS[1:2]) == undelayed[1:2]


def followed(trace, seed, delay, on_overrun='skip'):
    """Lanes with made-up targets (joint 0 counts the ticks under the policy): what the hand was told at each step."""
    plan = episode_plan(trace, seed, period_ns=T, count=STEPS, steps=SUBSTEPS, on_overrun=on_overrun)
    lanes = LateLanes(HAND, [plan], randomise=False)
    lanes.start(0, episodes(HAND, [seed], 'L0', 'H2')[0])
    lanes._delay[0] = delay
    told, decided, plant = [], [], lanes._plant(0)
    column = plant.addresses.actuator[0]
    advance, step = lanes.rig.advance, lanes.controller.step

    def watched(which, steps):
        told.extend([float(plant.data.ctrl[column])] * steps)
        return advance(which, steps)

    def counted(*args, **kwargs):
        target = step(*args, **kwargs)
        if lanes._under_policy[0]:
            target[0, 0] = 1000.0 + lanes._ticked[0]
        return target

    lanes.rig.advance, lanes.controller.step = watched, counted
    which, idle = np.array([0]), np.zeros((1, len(HAND.joints)))
    first = None
    for k in range(90):
        lanes.observe(which)
        if lanes.running[0]:
            first = k if first is None else first
            decided.append(bool(lanes.deciding(which)[0]))
        lanes.step(which, idle)
    lanes.close()
    return np.array(told), decided, first, plan


@pytest.mark.parametrize(('trace', 'delay', 'on_overrun'), [
    (Trace.constant(0), 0, 'skip'), (Trace.constant(0), 2, 'skip'), (Trace.constant(7 * MS), 0, 'skip'),
    (Trace.constant(31 * MS), 1, 'skip'), (Trace.constant(23 * MS), 0, 'queue')])
def test_the_hand_follows_the_newest_target_that_has_arrived(trace, delay, on_overrun):
    told, decided, first, plan = followed(trace, 3, delay, on_overrun)
    start = (first + delay) * SUBSTEPS
    expected = plan.in_effect[:len(told) - start]
    came = expected >= 0
    assert came.any()
    assert np.array_equal(told[start:][came], 1000.0 + expected[came])
    assert (told[:start] < 100).all()                                    # the close, which nobody is late for
    assert (told[start:][~came] == told[start - 1]).all()                # the last target holds until one comes
    assert decided == plan.decides[:len(decided)].tolist()


def test_a_policy_is_asked_only_when_its_loop_is_free(undelayed):
    slow = reference(BUNDLE, T).altered('slow', extra_ns=95 * MS)
    found = play(SCENE, slow, SEEDS[:1])[0]
    assert found.inferences == -(-found.released // 5)
    assert found.late_ms == pytest.approx(95.0)


# Open loop -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def sequences():
    return observed(SCENE, reference(BUNDLE, T), SEEDS[:1])


def test_the_reference_does_not_deviate_from_itself_and_a_broken_export_does(sequences):
    first = reference(BUNDLE, T)
    assert deviation(BUNDLE, first, first, sequences).section() == {
        'max_rad': 0.0, 'p99_rad': 0.0, 'max_share_of_range': 0.0}
    good = int8_like(BUNDLE, first, 'int8_dynamic')
    graph, _ = damaged(good.graph, 0.0625)
    apart = [deviation(BUNDLE, first, one, sequences) for one in (good, good.altered('bad', graph=graph))]
    assert 0.0 < apart[0].max_rad.max() < apart[1].max_rad.max()
    assert (apart[0].p99_rad <= apart[0].max_rad).all()
    assert apart[0].n == sum(map(len, sequences))


def test_recorded_observations_are_read_and_checked(tmp_path, sequences):
    path, first = tmp_path / 'seen.npz', reference(BUNDLE, T)
    stacked = {f'input/{n}': np.stack([np.concatenate([s[n] for s in one]) for one in sequences])
               for n in BUNDLE.inputs}
    np.savez(path, **stacked)
    good = int8_like(BUNDLE, first, 'int8_dynamic')
    assert deviation(BUNDLE, first, good, recorded(path, BUNDLE)).section() == deviation(
        BUNDLE, first, good, sequences).section()
    np.savez(path, **{k: v for k, v in stacked.items() if not k.endswith('grip_class')})
    with pytest.raises(ConfigError, match=r'it has to be an \.npz with input/<term>'):
        recorded(path, BUNDLE)


def test_one_scale_is_wrong_in_a_damaged_graph_and_nothing_else():
    import onnx
    good = int8_like(BUNDLE, reference(BUNDLE, T), 'int8_static').graph
    bad, name = damaged(good, 0.5)
    was, now = ({t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_model_from_string(g).graph.initializer}
                for g in (good, bad))
    assert [n for n in was if not np.array_equal(was[n], now[n])] == [name]
    assert np.allclose(now[name], was[name] * 0.5)
    with pytest.raises(ConfigError, match='no weights in 8 bit'):
        damaged(BUNDLE.graph, 0.5)


def test_another_graph_than_the_hash_says_is_not_loaded():
    from dataclasses import replace
    first = reference(BUNDLE, T)
    other = int8_like(BUNDLE, first, 'int8_dynamic').graph
    assert hashlib.sha256(other).hexdigest() != first.sha256
    with pytest.raises(ConfigError, match='not the graph that was measured'):
        replace(first, graph=other).policies(BUNDLE, 1)
