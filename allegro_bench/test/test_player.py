"""The player: exact times on a virtual clock through rate, pause, seek and loop; order; where topics go."""

from pathlib import Path

import pytest
from allegro_bench.playing.player import Player
from allegro_bench.playing.routing import Routing
from allegro_bench.playing.source import Source, open_source
from allegro_bench.recording import BagWriter
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_driver.bridge_config import ROS2_CONTROL, TOPIC_BASED, VENDOR, BridgeConfig
from allegro_driver.dialect import make_dialect
from allegro_driver.lib_words import REFUSED_TOPICS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
GRAVITY = 'geometry_msgs/msg/Vector3Stamped'
STATE = 'sensor_msgs/msg/JointState'


def bag(folder: Path, offsets_ms: list[int]) -> Source:
    with BagWriter(folder) as writer:
        writer.add_topic('/gravity', GRAVITY)
        for k, offset in enumerate(offsets_ms):
            writer.write('/gravity', b'\0\1\0\0' + k.to_bytes(4, 'little') + bytes(40), T0 + offset * MS)
    return open_source(folder)


def numbers(messages: list) -> list[int]:
    return [int.from_bytes(m.data[4:8], 'little') for m in messages]


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return bag(tmp_path_factory.mktemp('bags') / 'bag', [20 * k for k in range(100)])


def test_a_source_knows_its_length_and_begins_anywhere(source: Source) -> None:
    assert source.duration_s == pytest.approx(1.98)
    assert source.topics == {'/gravity': GRAVITY}
    assert numbers(list(source.messages(T0 + 1000 * MS))) == list(range(50, 100))


def test_messages_stored_out_of_order_are_played_in_order(tmp_path: Path) -> None:
    mixed = bag(tmp_path / 'bag', [0, 40, 20, 60, 10])
    assert numbers(list(mixed.messages())) == [0, 4, 2, 1, 3]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=st.floats(0.1, 20.0), steps=st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_a_message_is_due_at_its_offset_divided_by_the_rate(source: Source, rate: float, steps: list[int]) -> None:
    player, now, played = Player(source, 0, rate=rate), 0, []
    for step in steps:
        now += step * MS
        played += numbers(player.due(now))
        assert played == [k for k in range(100) if 20 * MS * k <= round(now * rate)]
        wait = player.wait_s(now)
        if wait is not None:
            assert 20 * MS * len(played) == pytest.approx((now + wait * 1e9) * rate, abs=2.0 * rate + 1)


def test_a_pause_takes_no_time_of_the_recording(source: Source) -> None:
    player = Player(source, 0)
    assert numbers(player.due(100 * MS)) == list(range(6))
    player.pause(True, 110 * MS)
    assert player.due(5000 * MS) == []
    assert player.wait_s(5000 * MS) is None
    assert player.position_ns(5000 * MS) == T0 + 110 * MS
    player.pause(False, 6000 * MS)
    assert player.wait_s(6000 * MS) == pytest.approx(0.010)
    assert numbers(player.due(6010 * MS)) == [6]


def test_it_can_begin_standing_still(source: Source) -> None:
    player = Player(source, 0, start_s=0.1, paused=True)
    assert (player.due(900 * MS), player.position_ns(900 * MS)) == ([], T0 + 100 * MS)
    player.pause(False, 1000 * MS)
    assert numbers(player.due(1000 * MS)) == [5]


def test_another_rate_holds_from_here_on(source: Source) -> None:
    player = Player(source, 0)
    player.due(100 * MS)
    player.set_rate(10.0, 100 * MS)
    assert numbers(player.due(110 * MS)) == list(range(6, 11))


@pytest.mark.parametrize('seconds', [0.0, 0.31, 1.98])
def test_seeking_goes_both_ways_and_plays_what_follows(source: Source, seconds: float) -> None:
    player = Player(source, 0)
    player.due(1500 * MS)
    player.seek(seconds, 2000 * MS)
    assert player.position_ns(2000 * MS) == T0 + round(seconds * 1e9)
    first = -(-round(seconds * 1e9) // (20 * MS))
    assert numbers(player.due(2000 * MS + 10_000 * MS)) == list(range(first, 100))
    assert player.ended


def test_the_end_is_the_end_unless_it_loops(source: Source) -> None:
    player = Player(source, 0)
    assert len(player.due(10_000 * MS)) == 100
    assert (player.ended, player.laps, player.position_ns(20_000 * MS)) == (True, 1, source.end_ns)
    round_and_round = Player(source, 0, loop=True)
    assert len(round_and_round.due(10_000 * MS)) == 100
    assert not round_and_round.ended
    assert numbers(round_and_round.due(10_020 * MS)) == [0, 1]


@pytest.mark.parametrize('wrong', [0.0, -1.0, 1e6, float('nan')])
def test_rates_and_places_outside_are_refused_and_change_nothing(source: Source, wrong: float) -> None:
    player = Player(source, 0)
    with pytest.raises(ConfigError, match='allowed'):
        player.set_rate(wrong, 0)
    if wrong:
        with pytest.raises(ConfigError, match=r'lasts 1\.980 s'):
            player.seek(wrong, 0)
    assert (player.rate, player.position_ns(0)) == (1.0, T0)


def test_an_empty_bag_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no message'):
        bag(tmp_path / 'bag', [])


@pytest.mark.parametrize(('topic', 'name'), [
    ('/left/joint_states', '/joint_states'),
    ('/left/joint_commands', '/recorded/joint_commands'),
    ('/left/grasp_policy/policy_state', '/recorded/grasp_policy/policy_state'),
    ('/left/tactile/index/wrench', '/tactile/index/wrench'),
    ('/diagnostics', '/diagnostics'),
    ('/clock', None),
])
def test_what_live_nodes_say_is_set_apart(topic: str, name: str | None) -> None:
    for commands in (False, True):
        assert Routing(live=('grasp_policy',), namespace='left', commands=commands).name(topic, STATE) == name


DIALECTS = [make_dialect(BridgeConfig(dialect=dialect), load_hand()) for dialect in (VENDOR, ROS2_CONTROL, TOPIC_BASED)]
COMMANDING = ['/joint_commands', '/joint_trajectory', '/motion', '/gravity', '/left/motion', '/lab/left/joint_commands',
              '/allegroHand_0/lib_cmd', *(d.command_topic for d in DIALECTS),
              '/allegro_hand_position_effort_controller_r/commands',
              *(f'/allegroHand_0/{name}' for name in REFUSED_TOPICS)]
MEASURED = ['/joint_states', '/tactile/raw', '/tactile/points', '/tactile/index/wrench', '/object', '/episode',
            '/diagnostics', '/inference', '/energy', '/grasp_policy/policy_state', '/allegroHand_0/tactile_sensors',
            *(d.state_topic for d in DIALECTS)]


@given(st.sampled_from(COMMANDING), st.sampled_from(['', 'left', 'lab/left', 'nowhere']),
       st.sampled_from(['', 'right']), st.sampled_from([(), ('grasp_policy',), ('inference_profiler',)]),
       st.sampled_from([(), ('motion', 'joint_commands', 'gravity')]))
def test_no_command_keeps_its_name_unless_asked_for(
        topic: str, namespace: str, target: str, live: tuple[str, ...], only: tuple[str, ...]) -> None:
    routing = Routing(live=live, namespace=namespace, target=target, only=only)
    name = routing.name(topic, STATE)
    assert name is None or 'recorded' in name.split('/')
    assert routing.let_through({topic: STATE}) == []
    free = Routing(live=live, namespace=namespace, target=target, only=only, commands=True)
    own = free.name(topic, STATE)
    said = own is not None and 'recorded' not in own.split('/')
    assert routing.held({topic: STATE}) == ({own: name} if said else {})
    assert free.let_through({topic: STATE}) == ([own] if said else [])
    assert free.held({topic: STATE}) == {}
    if live != ('grasp_policy',) and not only and not namespace and not target:
        assert own == topic


@pytest.mark.parametrize('topic', MEASURED)
def test_what_is_measured_keeps_its_name(topic: str) -> None:
    assert Routing().name(topic, STATE) == topic


@pytest.mark.parametrize('kind', ['trajectory_msgs/msg/JointTrajectory', 'std_msgs/msg/Float64MultiArray'])
def test_what_only_controllers_take_is_a_command_whatever_it_is_called(kind: str) -> None:
    assert Routing(target='right').name('/wave', kind) == '/right/recorded/wave'
    assert Routing(target='right', commands=True).name('/wave', kind) == '/right/wave'


def test_namespaces_move_and_a_selection_plays_nothing_else() -> None:
    routing = Routing(namespace='left', target='lab/right', only=('tactile/*/wrench', 'joint_states'))
    assert routing.name('/left/joint_states', STATE) == '/lab/right/joint_states'
    assert routing.name('/left/tactile/index/wrench', STATE) == '/lab/right/tactile/index/wrench'
    assert routing.name('/left/object', STATE) is None
    assert routing.name('/diagnostics', STATE) is None


def test_entries_of_diagnostics_of_live_nodes_are_told_apart() -> None:
    routing = Routing(live=('grasp_policy',))
    assert routing.is_live('grasp_policy: status')
    assert not routing.is_live('hand_driver: status')
