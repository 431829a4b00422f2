"""Commands read from bytes equal those read from messages, whatever comes between."""

from __future__ import annotations

import numpy as np
import pytest
from allegro_description.errors import CommandRefused
from allegro_description.model import load_hand
from allegro_description.ros.convert import command_from_message, command_message
from allegro_description.ros.received import CommandReader
from allegro_description.state import JointCommand
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

MODEL = load_hand()
NUMBERS = st.floats(width=64)
FINITE = st.floats(-3.0, 3.0)


def message(stamp_ns: int, values: list[float], field: str = 'position', names: tuple[str, ...] = MODEL.joint_names,
            frame: str = 'palm') -> JointState:
    made = JointState(name=list(names))
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    made.header.frame_id = frame
    setattr(made, field, values)
    return made


def result(read: object, data: object) -> object:
    try:
        command: JointCommand = read(data)  # type: ignore[operator]
    except CommandRefused as error:
        return str(error)
    pairs = (None if v is None else v.tobytes() for v in (command.position, command.effort))
    return command.stamp_ns, *pairs


REVERSED = tuple(reversed(MODEL.joint_names))
MESSAGES = st.builds(
    message, st.integers(0, 2**31 * 10**9 - 1),
    st.lists(NUMBERS, min_size=16, max_size=16) | st.lists(NUMBERS, max_size=17),
    st.sampled_from(('position', 'position', 'effort', 'velocity')),
    st.sampled_from((MODEL.joint_names, REVERSED, MODEL.joint_names[:-1])), st.sampled_from(('palm', 'palm', 'world')))


@settings(max_examples=80, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_any_sequence_of_messages_reads_as_the_ordinary_way(messages: list[JointState]) -> None:
    reader = CommandReader(MODEL)
    for each in messages:
        expected = result(lambda m: command_from_message(MODEL, m), each)
        assert result(reader.read, serialize_message(each)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(FINITE, min_size=16, max_size=16), st.sampled_from((MODEL.joint_names, REVERSED)),
       st.sampled_from(('position', 'effort')))
def test_a_known_sender_is_read_without_a_message(values: list[float], names: tuple[str, ...], field: str) -> None:
    reader = CommandReader(MODEL)
    first = [0.1 * (k + 1) for k in range(16)]
    reader.read(serialize_message(message(5, first, field, names)))
    reader._ordinary = None  # type: ignore[assignment, method-assign]
    command = reader.read(serialize_message(message(7_000_000_009, values, field, names)))
    expected = command_from_message(MODEL, message(7_000_000_009, values, field, names))
    assert command.stamp_ns == expected.stamp_ns == 7_000_000_009
    for ours, theirs in ((command.position, expected.position), (command.effort, expected.effort)):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert np.array_equal(ours, theirs)
            assert not ours.flags.writeable


def test_values_that_are_not_finite_are_refused_on_the_short_way() -> None:
    reader = CommandReader(MODEL)
    reader.read(serialize_message(message(1, [0.1 * (k + 1) for k in range(16)])))
    with pytest.raises(CommandRefused, match='NaN'):
        reader.read(serialize_message(message(2, [0.0] * 15 + [float('nan')])))


def test_our_own_commands_and_damaged_bytes() -> None:
    reader = CommandReader(MODEL)
    data = serialize_message(command_message(MODEL, JointCommand(3, position=np.linspace(0.1, 0.9, 16))))
    assert reader.read(data).stamp_ns == 3
    for cut in (0, 3, 11, len(data) // 2):
        with pytest.raises(CommandRefused):
            reader.read(data[:cut])
