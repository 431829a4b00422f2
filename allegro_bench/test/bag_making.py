"""Bags made for tests: messages serialised by rosbags, written by this suite or by rosbags' own writers."""

import numpy as np
from allegro_bench.recording import BagWriter
from allegro_description.model import load_hand
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
HAND = load_hand()
BEGIN = 1_800_000_000_000_000_000
MS = 1_000_000
STATE, CLOUD, FLOATS = 'sensor_msgs/msg/JointState', 'sensor_msgs/msg/PointCloud2', 'std_msgs/msg/Float32MultiArray'
TYPES = STORE.types


def header(stamp_ns, frame='palm_link'):
    time = TYPES['builtin_interfaces/msg/Time'](stamp_ns // 10**9, stamp_ns % 10**9)
    return TYPES['std_msgs/msg/Header'](time, frame)


def serialise(message, kind):
    return bytes(STORE.serialize_cdr(message, kind))


def state(stamp_ns, position, names=HAND.joint_names, velocity=(), effort=()):
    arrays = [np.array(a, dtype=np.float64) for a in (position, velocity, effort)]
    return serialise(TYPES[STATE](header(stamp_ns), list(names), *arrays), STATE)


def points(stamp_ns, pressure, valid=None):
    """``tactile/points`` as the suite publishes it."""
    count, field = len(pressure), TYPES['sensor_msgs/msg/PointField']
    layout = np.dtype({'names': ['x', 'y', 'z', 'pressure', 'taxel', 'valid'], 'itemsize': 20,
                       'formats': ['<f4', '<f4', '<f4', '<f4', '<u2', 'u1'], 'offsets': [0, 4, 8, 12, 16, 18]})
    table = np.zeros(count, layout)
    table['pressure'], table['taxel'] = pressure, np.arange(count)
    table['valid'] = 1 if valid is None else valid
    codes = {'f4': 7, 'u2': 4, 'u1': 2}
    fields = [field(n, layout.fields[n][1], codes[layout.fields[n][0].str.strip('<|')], 1) for n in layout.names]
    return serialise(TYPES[CLOUD](header(stamp_ns), 1, count, fields, False, 20, 20 * count,
                                  np.frombuffer(table.tobytes(), np.uint8), True), CLOUD)


def floats(values):
    layout = TYPES['std_msgs/msg/MultiArrayLayout']([], 0)
    return serialise(TYPES[FLOATS](layout, np.array(values, dtype=np.float32)), FLOATS)


def hand_messages(count=300, seed=0, space=''):
    """Topic, type, bytes, receive time of ``count`` joint states, half as many touch messages and commands."""
    generator = np.random.default_rng(seed)
    made = []
    for k in range(count):
        now = BEGIN + k * 3 * MS
        q = generator.normal(size=16) * 0.1
        made.append((f'{space}/joint_states', STATE, state(now, q, velocity=q, effort=q), now + MS))
        if k % 2:
            made.append((f'{space}/tactile/points', CLOUD, points(now, 2000 + 100 * q, q > -0.1), now + MS))
            made.append((f'{space}/joint_commands', STATE, state(now, q), now + 2 * MS))
    return made


def ours(folder, messages, custom=None, **how):
    """A bag by this suite's writer."""
    with BagWriter(folder, {'hand': HAND.name} if custom is None else custom, **how) as bag:
        for topic, kind, data, received in messages:
            bag.add_topic(topic, kind)
            bag.write(topic, data, received)
    return folder


def theirs(folder, messages, storage, compression=None, mode=None):
    """A bag by the writers of rosbags."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin

    writer = Writer(folder, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if mode:
        writer.set_compression(CompressionMode[mode.upper()], CompressionFormat[compression.upper()])
    writer.open()
    try:
        connections = {}
        for topic, kind, data, received in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], received, data)
    finally:
        writer.close()
    return folder
