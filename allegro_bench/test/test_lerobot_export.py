"""Recorded episodes as arrays, and as a LeRobot dataset that reads back."""

import json

import numpy as np
import pytest
from allegro_bench.cli import main
from allegro_bench.demonstrations import read_demonstrations
from allegro_bench.evidence import lerobot_reading
from allegro_bench.recording import BagWriter
from allegro_description.errors import ConfigError
from rosbags.typesys import Stores, get_typestore

from allegro_bench import lerobot, lerobot_files

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


@pytest.mark.parametrize('file_mb', [100, 0])
def test_both_formats_hold_the_same_frames(bag, tmp_path, monkeypatch, file_mb):
    """In one file, and in a file for each episode where a file is full at once."""
    parquet = pytest.importorskip('pyarrow.parquet')
    monkeypatch.setattr(lerobot_files, 'FILE_MB', file_mb)
    old, new = (lerobot.export(bag, tmp_path / v, version=v) for v in ('v2.1', 'v3.0'))
    same = ('total_episodes', 'total_frames', 'total_tasks', 'fps', 'splits', 'features')
    assert [old[key] for key in same] == [new[key] for key in same]
    assert len(list((tmp_path / 'v3.0').rglob('data/*/*.parquet'))) == (1 if file_mb else 2)
    pairs = zip(lerobot_files.PerEpisode.tables(tmp_path / 'v2.1', old),
                lerobot_files.Joined.tables(tmp_path / 'v3.0', new), strict=True)
    for (said, table), (said_new, table_new) in pairs:
        assert table.to_pydict() == table_new.to_pydict()
        assert said.items() <= said_new.items()
        assert said_new['dataset_to_index'] - said_new['dataset_from_index'] == said['length']
    tasks = parquet.read_table(tmp_path / 'v3.0' / 'meta' / 'tasks.parquet')
    assert tasks['task_index'].to_pylist() == [0, 1]
    assert json.loads(tasks.schema.metadata[b'pandas'])['index_columns'] == ['task']


def test_statistics_of_all_frames_follow_from_those_of_the_episodes(bag, tmp_path):
    pytest.importorskip('pyarrow.parquet')
    info = lerobot.export(bag, tmp_path / 'set', version='v3.0')
    stats = json.loads((tmp_path / 'set' / 'meta' / 'stats.json').read_text())
    tables = [table for _, table in lerobot_files.Joined.tables(tmp_path / 'set', info)]
    for name in ('observation.state', 'action', 'observation.tactile', 'next.success'):
        values = np.concatenate([np.array(t[name].to_pylist(), dtype=np.float64).reshape(len(t), -1) for t in tables])
        for key, wanted in (('min', values.min(axis=0)), ('max', values.max(axis=0)), ('mean', values.mean(axis=0)),
                            ('std', values.std(axis=0)), ('count', [len(values)])):
            np.testing.assert_allclose(np.array(stats[name][key], dtype=np.float64), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_dataset_that_contradicts_itself_is_refused(bag, tmp_path, version):
    pytest.importorskip('pyarrow.parquet')
    info = lerobot.export(bag, tmp_path / 'set', version=version)
    assert lerobot.check(tmp_path / 'set') == info['total_frames']
    for change in ({'total_frames': info['total_frames'] + 1}, {'fps': info['fps'] * 2}, {'total_episodes': 3}):
        (tmp_path / 'set' / 'meta' / 'info.json').write_text(json.dumps(info | change))
        with pytest.raises(ConfigError):
            lerobot.check(tmp_path / 'set')


def test_a_loader_that_mixes_frames_up_is_found(bag, tmp_path, monkeypatch):
    pytest.importorskip('pyarrow.parquet')
    pytest.importorskip('torch')
    info = lerobot.export(bag, tmp_path / 'set', version='v3.0')
    rows = [row | {'task': said['tasks'][0]} for said, table in lerobot_files.Joined.tables(tmp_path / 'set', info)
            for row in table.to_pylist()]

    class Loader:
        num_episodes, num_frames, shift = info['total_episodes'], info['total_frames'], 0

        def __init__(self, name, root, delta_timestamps=None):
            self.windows = delta_timestamps

        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            row = rows[(index + self.shift) % len(rows)]
            return {'action': np.array([row['action']] * 3)} if self.windows else row
    found = lerobot_reading.read(tmp_path / 'set', Loader)
    assert found['numbers'] == sum(np.size(value) for row in rows for value in row.values()) - len(rows)
    Loader.shift = 1
    with pytest.raises(ConfigError, match='frame 0 is'):
        lerobot_reading.read(tmp_path / 'set', Loader)
    monkeypatch.setitem(__import__('sys').modules, 'lerobot', None)
    assert lerobot_reading.main([str(tmp_path / 'set')]) == 2
