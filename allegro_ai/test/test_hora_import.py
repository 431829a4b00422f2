"""A network of the peer's architecture, imported, does what a plain torch evaluation of the same weights does."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch')
torch.set_num_threads(1)

from allegro_ai.cli import main  # noqa: E402
from allegro_ai.evidence.hora_torch import Deployment  # noqa: E402
from allegro_ai.fused_step import fuse  # noqa: E402
from allegro_ai.grasp import Phase  # noqa: E402
from allegro_ai.grasp_loop import MS, GraspLoop, JointSample  # noqa: E402
from allegro_ai.importing.hora import import_hora  # noqa: E402
from allegro_description.errors import BundleError  # noqa: E402
from allegro_description.model import load_hand  # noqa: E402

HAND = load_hand('v4')
PERIOD = 50 * MS


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return Deployment().save(tmp_path_factory.mktemp('hora') / 'model.ckpt')


@pytest.fixture(scope='module')
def bundle(checkpoint, tmp_path_factory):
    return import_hora(checkpoint, tmp_path_factory.mktemp('hora') / 'bundle', HAND, accept_gains=True)


def run(bundle, peer, steps=100, backend='onnxruntime'):
    """Targets of the loop and of the peer on the same joint angles: a hand that lags behind the loop's targets."""
    now = 1_000 * PERIOD
    loop = GraspLoop(bundle, bundle.policy(backend), lambda: now)
    position, previous = loop.controller.start_pose + 0.01, None
    rng = np.random.default_rng(3)
    loop.request('grasp')
    targets, expected = [], []
    while len(targets) < steps:
        tick = loop.tick(JointSample(now - 5 * MS, position.copy()), None)
        loop.issued(now)
        assert tick.phase != Phase.HOLD, loop.reason
        if tick.phase == Phase.RUN:
            expected.append(peer.step(position, previous))
            targets.append(tick.target)
        previous = tick.target
        position = np.clip(position + 0.7 * (tick.target - position) + rng.normal(0, 0.02, 16), HAND.lower, HAND.upper)
        now += PERIOD
    return np.array(targets), np.array(expected)


def test_a_hundred_steps_of_the_loop_equal_plain_torch(bundle):
    targets, expected = run(bundle, Deployment())
    assert np.abs(targets - expected).max() < 1e-5
    assert np.abs(np.diff(targets, axis=0)).max() > 0.01, 'the weights do move the hand'
    assert (np.ptp(targets, axis=0) > 0.05).sum() >= 12, 'nearly every joint'


def test_another_network_or_order_would_be_seen(bundle):
    targets, expected = run(bundle, Deployment(seed=1), 5)
    assert np.abs(targets - expected).max() > 1e-2
    targets, expected = run(bundle, Deployment(), 5)
    assert np.abs(targets - expected[:, np.r_[0:4, 8:12, 4:8, 12:16]]).max() > 1e-2


def test_a_policy_without_adaptation(tmp_path):
    peer = Deployment(adaptive=False)
    bundle = import_hora(peer.save(tmp_path / 'best.pth'), tmp_path / 'bundle', HAND, stage=1, accept_gains=True)
    targets, expected = run(bundle, peer)
    assert np.abs(targets - expected).max() < 1e-5


def test_everything_that_was_code_is_in_the_contract(bundle):
    contract = bundle.contract
    assert contract['runtime']['rate_hz'] == 20
    assert contract['runtime']['history'] == {'kind': 'stack', 'steps': 30}
    assert contract['action']['scale_rad'] == [1 / 24] * 16
    assert contract['action']['semantics'] == 'position_delta'
    assert dict(zip(contract['joints'], contract['action']['lower_rad'], strict=True))['ah_joint00'] == 0.263
    assert contract['controller']['trained'] == {'kp': 3.0, 'kd': 0.1, 'torque_limit_nm': 0.5}
    assert contract['controller']['kp'] == pytest.approx(HAND.kp.tolist())


def test_the_command_and_its_refusals(checkpoint, tmp_path, capsys):
    output = ['--output', str(tmp_path / 'bundle')]
    assert main(['import', 'hora', str(checkpoint), *output]) == 2
    assert '--accept-gains' in capsys.readouterr().err
    assert main(['import', 'hora', str(checkpoint), *output, '--accept-gains', '--stage', '1']) == 2
    assert 'of stage 2, not of stage 1' in capsys.readouterr().err
    assert main(['import', 'hora', str(checkpoint), *output, '--accept-gains', '--model', 'v5_3f']) == 2
    assert 'four joints each' in capsys.readouterr().err
    assert not (tmp_path / 'bundle').exists()
    assert main(['import', 'hora', str(checkpoint), *output, '--accept-gains', '--stage', '2']) == 0
    assert 'golden vectors agree' in capsys.readouterr().out
    assert main(['bundle', 'check', str(tmp_path / 'bundle'), '--model', 'v4', '--warmup', '10']) == 0


def damaged(change):
    def made(path):
        content = torch.load(Deployment().save(path), weights_only=True)
        torch.save(change(content), path)
    return made


def nan(content):
    content['model']['mu.bias'][3] = float('nan')
    return content


def renamed(content):
    content['model']['mu.weigth'] = content['model'].pop('mu.weight')
    return content


def reshaped(content):
    content['sa_mean_std']['running_mean'] = torch.zeros(50, 32)
    return content


def compressed(path):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', b'0' * 1000)


@pytest.mark.parametrize(('make', 'sentence'), [
    (lambda path: path.write_bytes(b'\x80\x02cos\nsystem\n.'), 'no checkpoint in the zip format'),
    (lambda path: torch.save({'model': Deployment().model}, path), 'holds more than weights'),
    (lambda path: torch.save([1, 2], path), 'a HORA checkpoint is a dictionary'),
    (compressed, 'compressed parts'),
    (damaged(nan), 'model.mu.bias holds NaN'),
    (damaged(renamed), 'mu.weigth'),
    (damaged(reshaped), r'needed \(30, 32\)'),
    (damaged(lambda content: {'model': content['model']}), 'has no running_mean_std'),
    (lambda path: Deployment(adaptive=False, privileged=True).save(path), 'is a teacher'),
])
def test_what_is_no_such_checkpoint_is_refused_in_a_sentence(tmp_path, make, sentence):
    make(tmp_path / 'model.ckpt')
    with pytest.raises(BundleError, match=sentence):
        import_hora(tmp_path / 'model.ckpt', tmp_path / 'bundle', HAND, accept_gains=True)
    assert not (tmp_path / 'bundle').exists()


def test_weights_that_run_code_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / 'exploded'), 'w')

    torch.save({'model': Bomb()}, tmp_path / 'model.ckpt')
    with pytest.raises(BundleError, match='nothing in it was run'):
        import_hora(tmp_path / 'model.ckpt', tmp_path / 'bundle', HAND)
    assert not (tmp_path / 'exploded').exists()


@pytest.mark.parametrize('adaptive', [True, False])
def test_whole_steps_equal_plain_torch_through_episodes_and_held_ticks(tmp_path, adaptive):
    peer = Deployment(adaptive=adaptive)
    bundle = import_hora(peer.save(tmp_path / 'model.ckpt'), tmp_path / 'bundle', HAND, accept_gains=True)
    policy, now, rng = bundle.policy(), 1_000 * PERIOD, np.random.default_rng(4)
    fused, reason = fuse(bundle, policy)
    assert fused is not None, reason
    assert fused.in_place, 'no stack is made for a policy of this kind'
    loop, runs, run = GraspLoop(bundle, policy, lambda: now, fused=fused), [], fused.run
    fused.run = lambda *args: runs.append(run(*args)) or runs[-1]
    for episode in range(3):
        peer = Deployment(adaptive=adaptive)
        position, previous, steps = loop.controller.start_pose + 0.05 * episode, None, 0
        loop.request('grasp')
        while steps < 150:
            tick = loop.tick(JointSample(now - 5 * MS, position.copy()), None)
            loop.issued(now)
            assert tick.phase != Phase.HOLD, loop.reason
            now += PERIOD
            if tick.action is not None:
                steps += 1
                assert np.abs(tick.target - peer.step(position, previous)).max() < 1e-5
                peer.follow(tick.target)
                if rng.random() < 0.1:  # no new joint state: the same target again, and no step
                    again = loop.tick(JointSample(now - PERIOD - 5 * MS, position.copy()), None)
                    assert again.action is None
                    np.testing.assert_array_equal(again.target, tick.target)
            previous = tick.target
            position = position + 0.7 * (tick.target - position) + rng.normal(0, 0.02, 16)
            position = np.clip(position, HAND.lower, HAND.upper)
        loop.request('hold', 'enough')
        loop.tick(JointSample(now - 5 * MS, position.copy()), None)
        loop.issued(now)
        now += PERIOD
    assert len(runs) == 3 * 149
    assert all(runs)


def test_a_hand_outside_the_bounds_is_led_inside_before_whole_steps_begin(bundle):
    """The whole step computes no limit that cannot act, so it must not begin where one does."""
    action, joint = bundle.contract['action'], 5
    upper = np.array(action['upper_rad'])
    upper[joint] = bundle.controller().start_pose[joint] - 0.2
    narrow = replace(bundle, contract={**bundle.contract, 'action': {**action, 'upper_rad': upper.tolist()}})
    now, policies = 1_000 * PERIOD, [narrow.policy(), narrow.policy()]
    fused, reason = fuse(narrow, policies[0])
    assert fused is not None, reason
    loops = [GraspLoop(narrow, policy, lambda: now, fused=f) for policy, f in zip(policies, (fused, None), strict=True)]
    run, runs, before, rng = fused.run, [], [], np.random.default_rng(5)
    fused.run = lambda *args: runs.append(loops[0].controller.target[0, joint]) or run(*args)
    position, targets = loops[0].controller.start_pose.copy(), []
    for loop in loops:
        loop.request('grasp')
    while len(targets) < 80:
        ticks = [loop.tick(JointSample(now - 5 * MS, position.copy()), None) for loop in loops]
        for loop in loops:
            loop.issued(now)
        np.testing.assert_allclose(ticks[0].target, ticks[1].target, rtol=0, atol=1e-6)
        if ticks[0].action is not None:
            targets.append(ticks[0].target)
            if not runs:
                before.append(ticks[0].target[joint])
        position = np.clip(ticks[0].target + rng.normal(0, 0.02, 16), HAND.lower, HAND.upper)
        now += PERIOD
    assert loops[0].phase == loops[1].phase == Phase.RUN
    step = narrow.controller().mapper.rate_limit * narrow.period_s
    assert len(before) >= 0.2 / step, 'the rate limit led it inside'
    assert np.abs(np.diff(targets, axis=0)).max() <= step + 1e-9
    assert len(runs) == 80 - len(before)
    assert max(runs) <= upper[joint] + 1e-9, 'no whole step from outside'
    assert (np.array(targets)[len(before):] <= upper + 1e-9).all()
