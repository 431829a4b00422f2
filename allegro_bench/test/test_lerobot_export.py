"""Recorded episodes as arrays, and as a LeRobot dataset that reads back."""

import json

import numpy as np
import pytest
from allegro_bench.cli import main
from allegro_bench.demonstrations import read_demonstrations
from allegro_bench.recording import BagWriter
from allegro_description.errors import ConfigError
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
JOINTS, CLOUD = 'sensor_msgs/msg/JointState', 'sensor_msgs/msg/PointCloud2'
EVENTS = 'diagnostic_msgs/msg/DiagnosticArray'
NAMES = ['joint_a', 'joint_b']
START = 1_000_000_000
POINTS = np.dtype({'names': ['pressure', 'valid'], 'formats': ['<f4', 'u1'], 'offsets': [0, 4], 'itemsize': 8})


def header(ns):
    stamp = TYPES['builtin_interfaces/msg/Time'](ns // 10**9, ns % 10**9)
    return TYPES['std_msgs/msg/Header'](stamp, 'palm')


def joints(ns, position, names=NAMES):
    empty = np.zeros(0)
    return TYPES[JOINTS](header(ns), names, np.array(position, dtype=float), empty, empty)


def cloud(ns, pressure, valid):
    field = TYPES['sensor_msgs/msg/PointField']
    points = np.zeros(len(pressure), POINTS)
    points['pressure'], points['valid'] = pressure, valid
    return TYPES[CLOUD](header(ns), 1, len(points), [field('pressure', 0, 7, 1), field('valid', 4, 2, 1)], False, 8,
                        8 * len(points), np.frombuffer(points.tobytes(), dtype=np.uint8), True)


def event(ns, word, **facts):
    values = [TYPES['diagnostic_msgs/msg/KeyValue'](k, str(v)) for k, v in facts.items()]
    status = TYPES['diagnostic_msgs/msg/DiagnosticStatus'](0, 'episode', word, '', values)
    return TYPES[EVENTS](header(ns), [status])


class Bag:
    def __init__(self, folder, prefix=''):
        self.folder, self.prefix, self.messages = folder, prefix, []

    def add(self, ns, topic, kind, message):
        self.messages.append((ns, f'{self.prefix}/{topic}', kind, bytes(STORE.serialize_cdr(message, kind))))
        return self

    def episode(self, begin, seconds=1.0, **facts):
        """States at 100 Hz that say the time; the command of every other one says it too, 4 ms later."""
        self.add(begin, 'episode', EVENTS, event(begin, 'started', **facts))
        for k in range(int(seconds * 100)):
            ns = begin + k * 10_000_000
            self.add(ns + 1_000_000, 'joint_states', JOINTS, joints(ns, [ns * 1e-9, k]))
            self.add(ns + 1_000_000, 'tactile/points', CLOUD, cloud(ns, [k, 7.0], [1, 0]))
            if k >= 10 and k % 2 == 0:
                self.add(ns + 5_000_000, 'joint_commands', JOINTS, joints(ns, [ns * 1e-9, -k]))
        end = begin + int(seconds * 1e9)
        return self.add(end, 'episode', EVENTS, event(end, 'finished', **facts, held=True, success=True))

    def write(self):
        with BagWriter(self.folder) as bag:
            for ns, topic, kind, data in sorted(self.messages, key=lambda m: m[0]):
                bag.add_topic(topic, kind)
                bag.write(topic, data, ns)
        return self.folder


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    made = Bag(tmp_path_factory.mktemp('bags') / 'two', '/right')
    made.episode(START, index=1, shape='sphere', grip_class='robust')
    made.episode(START + 3 * 10**9, 0.5, index=2, shape='box', grip_class='fragile')
    made.add(START + 5 * 10**9, 'episode', EVENTS, event(START + 5 * 10**9, 'started', index=3))
    return made.write()


def test_frames_pair_a_state_with_the_command_that_answers_it(bag):
    names, episodes = read_demonstrations(bag, 50.0)
    assert names == tuple(NAMES)
    assert [e.facts['shape'] for e in episodes] == ['sphere', 'box'], 'an episode without an end is left out'
    first = episodes[0]
    np.testing.assert_allclose(np.diff(first.time_s), 0.02)
    np.testing.assert_allclose(first.state[:, 0], START * 1e-9 + 0.1 + first.time_s, atol=1e-6)
    np.testing.assert_allclose(first.action[:, 0], first.state[:, 0], atol=1e-6)
    assert (first.action[:, 1] == -first.state[:, 1]).all()
    assert first.valid.tolist() == [[True, False]] * len(first.valid)
    np.testing.assert_array_equal(first.pressure[:, 1], 0.0)
    np.testing.assert_array_equal(first.pressure[:, 0], first.state[:, 1])


def test_another_rate_keeps_time(bag):
    _, episodes = read_demonstrations(bag, 20.0)
    np.testing.assert_allclose(episodes[0].state[:, 0] - START * 1e-9 - 0.1, episodes[0].time_s, atol=1e-6)


@pytest.mark.parametrize(('fill', 'sentence'), [
    (lambda b: b.add(START, 'joint_states', JOINTS, joints(START, [0, 0])), 'holds no joint_commands'),
    (lambda b: b.add(START, 'joint_states', JOINTS, joints(START, [0, 0])).add(
        START + 1, 'joint_states', JOINTS, joints(START + 1, [0, 0], NAMES[::-1])),
     'names the joints joint_b, joint_a'),
])
def test_bags_that_hold_no_demonstration(tmp_path, fill, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_demonstrations(fill(Bag(tmp_path / 'bag')).write(), 50.0)
    with pytest.raises(ConfigError, match='cannot be read as a bag'):
        read_demonstrations(tmp_path / 'nothing', 50.0)


def test_without_pyarrow_the_command_says_how_to_get_it(bag, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'pyarrow', None)
    assert main(['export-lerobot', str(bag), '--output', str(tmp_path / 'set')]) == 2
    assert 'pip install pyarrow' in capsys.readouterr().err
    assert not (tmp_path / 'set').exists()


def test_a_dataset_reads_back(bag, tmp_path, capsys):
    parquet = pytest.importorskip('pyarrow.parquet')
    folder = tmp_path / 'set'
    assert main(['export-lerobot', str(bag), '--output', str(folder)]) == 0
    said = capsys.readouterr().out
    info = json.loads((folder / 'meta' / 'info.json').read_text())
    assert f'2 episodes, {info["total_frames"]} frames at 50 Hz, 2 tasks' in said
    assert info['features']['action']['names'] == NAMES
    tasks = [json.loads(line) for line in (folder / 'meta' / 'tasks.jsonl').read_text().splitlines()]
    assert [t['task'] for t in tasks] == ['hold the sphere with a robust grip', 'hold the box with a fragile grip']
    _, episodes = read_demonstrations(bag, 50.0)
    table = parquet.read_table(folder / 'data' / 'chunk-000' / 'episode_000001.parquet')
    np.testing.assert_allclose(np.array(table['observation.state'].to_pylist()), episodes[1].state, rtol=1e-6)
    np.testing.assert_allclose(np.array(table['action'].to_pylist()), episodes[1].action, rtol=1e-6)
    assert table['next.success'].to_pylist() == [False] * (table.num_rows - 1) + [True]
    stats = json.loads((folder / 'meta' / 'episodes_stats.jsonl').read_text().splitlines()[1])['stats']
    np.testing.assert_allclose(stats['action']['mean'], np.float32(episodes[1].action).mean(axis=0), rtol=1e-5)
    assert main(['export-lerobot', str(bag), '--output', str(folder)]) == 2
    assert 'exists' in capsys.readouterr().err
