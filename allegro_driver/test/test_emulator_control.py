"""Control interface of the emulator: replies, refusals, any bytes; TactileHold episodes on the wire."""

from __future__ import annotations

import json
import socket
import time

import pytest
from allegro_description.errors import CommandRefused, LinkTimeout
from allegro_description.model import load_hand
from allegro_driver.emulator.background import running_emulator
from allegro_driver.emulator.body import HandBody
from allegro_driver.emulator.client import EmulatorClient
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.control import ControlInterface
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.firmware import Parts
from allegro_driver.emulator.v5b2_firmware import V5B2Firmware
from allegro_driver.emulator.world import NoEpisodes, SimpleWorld
from hypothesis import given
from hypothesis import strategies as st

MODEL = load_hand('v5_sense', 'right')


def interface(world=None, episodes=None):
    faults = FaultSet(MODEL)
    body = HandBody(MODEL, world or SimpleWorld(MODEL, 0.003), faults)
    hand = V5B2Firmware(Parts(MODEL, body, faults, EmulatorConfig(), '5SBR0001'))
    return ControlInterface(hand, episodes or NoEpisodes(), faults, dict), hand, faults


def ask(control, **message):
    return json.loads(control.handle(json.dumps(message).encode(), 0.0))


@pytest.mark.parametrize(('request_bytes', 'word'), [
    (b'', 'not JSON'), (b'{"op": "status"', 'not JSON'), (b'\xff\xfe', 'not JSON'), (b'[' * 3000, 'not JSON'),
    (b'[1]', 'not a JSON object'), (b'7', 'not a JSON object'), (b' ' * 5000, 'at most 4096'),
    (b'{"op": "dance"}', 'status, world'), (b'{}', 'unknown op'), (b'{"op": ["status"]}', 'unknown op'),
    (b'{"id": {}, "op": "status"}', 'id is'), (b'{"op": "status", "verbose": 1}', 'verbose'),
    (b'{"op": "set_gravity"}', 'three numbers'), (b'{"op": "set_gravity", "vector": [1, 2, NaN]}', 'three numbers'),
    (b'{"op": "set_gravity", "vector": [90, 90, 0]}', 'at most 100'),
    (b'{"op": "set_gravity", "vector": [true, 0, 0]}', 'three numbers'),
    (b'{"op": "inject"}', 'unknown fault'), (b'{"op": "start_episode", "seed": 1.5}', 'whole number'),
    (b'{"op": "start_episode", "seed": -1}', 'whole number'), (b'{"op": "start_episode", "level": 1}', 'text'),
    (b'{"op": "start_episode"}', '--physics mujoco'),
])
def test_bad_requests_get_a_sentence_and_change_nothing(request_bytes, word):
    control, hand, faults = interface()
    reply = json.loads(control.handle(request_bytes, 0.0))
    assert reply['ok'] is False
    assert word in reply['error']
    assert faults.active() == {}
    assert list(hand.body.world.gravity) == [-9.81, 0.0, 0.0]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6)
names = st.sampled_from(['id', 'seed', 'level', 'object_set', 'vector', 'fault', 'value', 'duration_s'])
ops = st.sampled_from(['status', 'world', 'start_episode', 'stop_episode', 'set_gravity', 'inject', 'clear_faults'])


@given(st.binary(max_size=64) | st.builds(
    lambda op, rest: json.dumps({'op': op, **rest}).encode(), ops, st.dictionaries(names, json_values, max_size=4)))
def test_any_bytes_get_one_json_reply(request_bytes):
    control, _, _ = interface()
    reply = json.loads(control.handle(request_bytes, 0.0), parse_constant=lambda c: pytest.fail(f'{c} is not JSON'))
    assert reply['ok'] in (True, False)
    assert reply['ok'] or reply['error']
    assert 'id' in reply


def test_the_identifier_comes_back():
    control, _, _ = interface()
    assert ask(control, id=7, op='status')['id'] == 7
    assert ask(control, id='a', op='none')['id'] == 'a'
    assert ask(control, op='status')['id'] is None


def test_gravity_and_faults():
    control, hand, _ = interface()
    assert ask(control, op='set_gravity', vector=[0, 0, -9.8])['gravity_m_s2'] == [0.0, 0.0, -9.8]
    assert list(hand.body.world.gravity) == [0.0, 0.0, -9.8]
    assert ask(control, op='world')['gravity_m_s2'] == [0.0, 0.0, -9.8]
    assert ask(control, op='inject', fault='drop')['faults'] == {'drop': 0.1}
    assert ask(control, op='clear_faults')['faults'] == {}
    assert ask(control, op='status')['faults'] == {}


def test_client_reports_refusal_and_silence():
    with running_emulator() as server:
        with EmulatorClient(port=server.control_port, timeout_s=5.0) as client:
            assert client.request('status')['wire_port'] == server.wire_port
            with pytest.raises(CommandRefused, match='unknown op'):
                client.request('dance')
            client.request('world')
        port = server.control_port
    with EmulatorClient(port=port, timeout_s=0.2) as client:
        for _ in range(2):
            with pytest.raises(LinkTimeout, match='is it running'):
                client.request('status')


def test_client_survives_a_restart_of_the_emulator():
    with running_emulator() as server:
        port = server.control_port
        client = EmulatorClient(port=port, timeout_s=2.0)
        client.request('status')
    with pytest.raises(LinkTimeout):
        client.request('status')
    with running_emulator(control_port=port):
        assert client.request('status')['ok']
    client.close()


def test_client_ignores_late_replies():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fake:
        fake.bind(('127.0.0.1', 0))
        client = EmulatorClient(port=fake.getsockname()[1], timeout_s=0.1)
        with pytest.raises(LinkTimeout):
            client.request('status')
        _, sender = fake.recvfrom(4096)
        fake.sendto(b'{"id": 1, "ok": true, "late": true}', sender)
        fake.sendto(b'{"id": 2, "ok": true, "late": false}', sender)
        assert client.request('status')['late'] is False
        client.close()


# --- episodes (need MuJoCo) -----------------------------------------------------------------------------------------


@pytest.fixture
def stage():
    pytest.importorskip('mujoco')
    from allegro_driver.emulator.episodes import TactileHold
    from allegro_driver.emulator.plant_world import PlantWorld

    world = PlantWorld(MODEL, 0.003)
    episodes = TactileHold(MODEL, world)
    control, hand, _ = interface(world, episodes)

    def run(seconds):
        for _ in range(round(seconds / 0.003)):
            episodes.before_step()
            hand.step(0)
            episodes.after_step()

    return control, run, hand


def test_episode_of_a_limp_hand_ends_with_a_drop(stage):
    control, run, hand = stage
    run(0.3)
    before = hand.body.world.position
    assert ask(control, op='world')['object'] is None
    assert ask(control, op='start_episode', seed=3, level='L2', object_set='H1')['index'] == 1
    assert hand.body.world.position == pytest.approx(before)  # nobody moves the fingers of a real hand
    run(0.5)
    view = ask(control, op='world')
    assert view['object']['shape'] == view['episode']['shape']
    assert view['episode']['human_holds'] == 1.0
    assert view['episode']['clock_s'] == pytest.approx(0.5, abs=0.004)
    assert 'running' in ask(control, op='start_episode')['error']
    assert 'episode' in ask(control, op='set_gravity', vector=[0, 0, 0])['error']
    run(6.5)
    view = ask(control, op='world')
    assert view['episode']['state'] == 'idle'
    assert view['object'] is None
    assert view['gravity_m_s2'] == [-9.81, 0.0, 0.0]
    result = view['last_result']
    assert result['held'] is False
    assert result['success'] is False
    assert result['dropped_at_s'] > 0.8
    assert (result['index'], result['seed'], result['level'], result['object_set']) == (1, 3, 'L2', 'H1')
    assert [e['event'] for e in view['events']] == ['started', 'dropped']
    assert [e['seq'] for e in view['events']] == [1, 2]
    assert ask(control, op='status')['last_result'] == result


def test_a_firm_grip_is_seen_by_the_score(stage):
    """Closing with the full current from the pregrasp pose: torque and tip forces of the result are not zero."""
    control, run, hand = stage
    hand.body.set_positioning(True)
    hand.body.command_targets(MODEL.pose('pregrasp'), 0)
    run(1.5)
    ask(control, op='start_episode', seed=1, level='L0', object_set='train')
    hand.body.set_positioning(False)
    hand.body.torque = 200.0 * MODEL.flexion
    run(2.0)
    assert max(ask(control, op='world')['tip_forces_n']) > 0.0
    run(4.1)
    result = ask(control, op='world')['last_result']
    assert result['p99_tip_force_n'] > 0.5
    assert result['mean_torque_nm'] > 0.05


def test_stopping_an_episode_gives_no_result(stage):
    control, run, _ = stage
    assert ask(control, op='stop_episode')['stopped'] is False
    ask(control, op='start_episode')
    run(0.1)
    assert ask(control, op='stop_episode')['stopped'] is True
    view = ask(control, op='world')
    assert view['object'] is None
    assert view['last_result'] is None
    assert [e['event'] for e in view['events']] == ['started', 'stopped']
    assert ask(control, op='start_episode')['index'] == 2


@pytest.mark.parametrize(('arguments', 'word'), [
    ({'level': 'L9'}, 'L0'), ({'object_set': 'mine'}, 'train'), ({'seed': -1}, '0 or more')])
def test_bad_episodes_are_refused(stage, arguments, word):
    control, _, _ = stage
    reply = ask(control, op='start_episode', **arguments)
    assert reply['ok'] is False
    assert word in reply['error']
    assert ask(control, op='world')['episode']['state'] == 'idle'
    assert ask(control, op='world')['events'] == []


def test_the_same_seed_presents_the_same_object(stage):
    control, run, _ = stage
    seen = []
    for _ in range(2):
        ask(control, op='start_episode', seed=11)
        seen.append(ask(control, op='world')['object'])
        run(0.03)
        ask(control, op='stop_episode')
    assert seen[0]['size_m'] == seen[1]['size_m']
    assert seen[0]['mass_kg'] == seen[1]['mass_kg']


def test_an_unstable_simulation_ends_the_episode_and_the_hand_lives_on(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning to a file here
    control, run, hand = stage
    ask(control, op='start_episode')
    hand.body.world.plant.data.qvel[:] = 1e12
    run(0.03)
    view = ask(control, op='world')
    assert hand.body.world.failures == 1
    assert view['events'][-1]['event'] == 'stopped'
    assert 'unstable' in view['events'][-1]['values']['reason']
    run(0.3)
    assert hand.body.world.failures == 1


def test_an_episode_over_real_sockets():
    pytest.importorskip('mujoco')
    with running_emulator(physics='mujoco') as server, \
            EmulatorClient(port=server.control_port, timeout_s=5.0) as client:
        assert client.request('start_episode', seed=3)['index'] == 1
        end = time.monotonic() + 30.0
        while client.request('status')['last_result'] is None and time.monotonic() < end:
            time.sleep(0.1)
        status = client.request('status')
        assert status['last_result']['index'] == 1
        assert status['cpu_s'] > 0.0
