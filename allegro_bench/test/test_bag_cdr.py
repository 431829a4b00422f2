"""Numbers out of serialised messages: as rosbags reads them, whatever the names and lengths; cut bytes are refused."""

import numpy as np
import pytest
from allegro_bench.bags.cdr import Cursor, layout_of
from allegro_bench.bags.rows import statuses
from allegro_description.errors import ProtocolError
from bag_making import CLOUD, STATE, STORE, TYPES, header, points, serialise, state
from hypothesis import given, settings
from hypothesis import strategies as st

text = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=12)
doubles = st.lists(st.floats(allow_nan=False), max_size=9)
MOST = settings(max_examples=60, deadline=None)


def raw(*messages):
    return np.frombuffer(b''.join(messages), np.uint8).reshape(len(messages), -1)


@MOST
@given(st.lists(text, max_size=6), doubles, doubles, doubles, text, st.integers(0, 2**31 - 1),
       st.integers(0, 10**9 - 1))
def test_joint_states_of_any_shape_read_as_rosbags_reads_them(names, position, velocity, effort, frame, sec, nanosec):
    arrays = [np.array(a, dtype=np.float64) for a in (position, velocity, effort)]
    data = serialise(TYPES[STATE](header(sec * 10**9 + nanosec, frame), names, *arrays), STATE)
    known = STORE.deserialize_cdr(data, STATE)
    layout = layout_of(STATE, data)
    assert layout.names == tuple(known.name) == tuple(names)
    assert layout.fits(raw(data)).all()
    assert layout.stamps(raw(data)).tolist() == [sec * 10**9 + nanosec]
    for name in ('position', 'velocity', 'effort'):
        assert layout.take(raw(data), name)[0].tolist() == getattr(known, name).tolist()


@MOST
@given(st.lists(st.floats(0, 1e5, width=32), min_size=1, max_size=20), st.integers(0, 2**30))
def test_clouds_read_as_they_were_written(pressure, seed):
    valid = np.random.default_rng(seed).integers(0, 2, len(pressure))
    data = points(seed, pressure, valid)
    layout = layout_of(CLOUD, data)
    assert layout.take(raw(data), 'pressure')[0].tolist() == pressure
    assert layout.take(raw(data), 'valid')[0].tolist() == valid.tolist()
    assert layout.take(raw(data), 'taxel')[0].tolist() == list(range(len(pressure)))


@MOST
@given(st.sampled_from(['std_msgs/msg/Float32MultiArray', 'std_msgs/msg/Float64MultiArray',
                        'std_msgs/msg/Int32MultiArray']),
       st.lists(st.integers(-10**6, 10**6), max_size=20), st.lists(text, max_size=3))
def test_arrays_with_any_layout_read_as_they_were_written(kind, values, labels):
    dims = [TYPES['std_msgs/msg/MultiArrayDimension'](label, 3, 4) for label in labels]
    dtype = {'3': np.float32, '6': np.float64, 'n': np.int32}[kind[kind.index('g/') + 2:][5 if 'Float' in kind else 1]]
    data = serialise(TYPES[kind](TYPES['std_msgs/msg/MultiArrayLayout'](dims, 0), np.array(values, dtype=dtype)), kind)
    assert layout_of(kind, data).take(raw(data), 'data')[0].tolist() == values


def test_another_message_of_equal_length_is_told_apart_by_its_fixed_bytes():
    names = [f'joint_{k}' for k in range(4)]
    one, two = state(5, [1, 2, 3, 4], names), state(7, [9, 8, 7, 6], names)
    other = state(7, [9, 8, 7, 6], names[::-1])
    assert len(one) == len(other)
    assert layout_of(STATE, one).fits(raw(one, two, other)).tolist() == [True, True, False]


@MOST
@given(st.integers(0, 400))
def test_a_message_cut_anywhere_is_refused_or_lacks_nothing_that_is_read(length):
    whole = state(1, np.arange(16.0), velocity=np.arange(16.0))
    cut = whole[:min(length, len(whole) - 9)]  # the effort's length, zero, is the last that is read
    with pytest.raises(ProtocolError):
        layout_of(STATE, cut)


@MOST
@given(st.binary(max_size=200), st.sampled_from([STATE, CLOUD, 'std_msgs/msg/Float32MultiArray']))
def test_random_bytes_are_refused_or_read_within_their_bounds(data, kind):
    try:
        layout = layout_of(kind, b'\0\1\0\0' + data)
    except ProtocolError:
        return
    for name in layout.slots:
        assert layout.take(raw(b'\0\1\0\0' + data), name).shape == (1, layout.slots[name].count)


def test_big_endian_messages_are_read():
    little = state(1_500_000_000, [1.5, -2.0], ('a', 'b'))
    big = bytes(STORE.serialize_cdr(STORE.deserialize_cdr(little, STATE), STATE, little_endian=False))
    layout = layout_of(STATE, big)
    assert big != little
    assert layout.take(raw(big), 'position')[0].tolist() == [1.5, -2.0]
    assert layout.stamps(raw(big)).tolist() == [1_500_000_000]


@MOST
@given(st.lists(st.tuples(st.integers(0, 3), text, text, text, st.dictionaries(text, text, max_size=3)), max_size=3))
def test_diagnostics_read_as_they_were_written(rows):
    kind = 'diagnostic_msgs/msg/DiagnosticArray'
    made = [TYPES['diagnostic_msgs/msg/DiagnosticStatus'](
        level, name, message, hardware, [TYPES['diagnostic_msgs/msg/KeyValue'](k, v) for k, v in values.items()])
        for level, name, message, hardware, values in rows]
    found = statuses(Cursor(serialise(TYPES[kind](header(3), made), kind)))
    assert [tuple(status.values()) for status in found] == rows
