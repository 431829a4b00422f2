"""Messages and values are the same thing said twice: round trips, names, refusals."""

import numpy as np
import pytest
from allegro_description.errors import CommandRefused, ConfigError, ProtocolError
from allegro_description.kinematics import Kinematics
from allegro_description.model import load_hand
from allegro_description.ros.testing import require_graph
from allegro_description.state import HandState, JointCommand, TactileFrame, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

require_graph()

from allegro_description.ros import convert  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import JointState, PointCloud2  # noqa: E402

HAND = load_hand()
finite16 = hnp.arrays(np.float64, 16, elements=st.floats(-1e6, 1e6))
stamps = st.integers(0, 2**31 * 1_000_000_000 - 1)


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def state(**changes):
    base = {'stamp_ns': 5_000_000_001, 'sequence': 7, 'position': frozen(np.linspace(0, 1, 16)),
            'velocity': frozen(np.zeros(16)), 'current_ma': frozen(np.full(16, 143.0)),
            'tactile': frozen(np.arange(16) * 100.0)}
    return HandState(**{**base, **changes})


@given(stamps)
def test_stamps_survive(ns):
    assert convert.to_ns(over_the_wire(convert.to_stamp(ns))) == ns


@settings(max_examples=30)
@given(finite16, stamps, st.permutations(range(16)), st.booleans())
def test_commands_are_mapped_by_name_in_any_order(values, stamp, order, as_effort):
    command = JointCommand(stamp, **{'effort' if as_effort else 'position': frozen(values)})
    message = over_the_wire(convert.command_message(HAND, command))
    names, numbers = list(message.name), list(message.effort if as_effort else message.position)
    message.name = [names[i] for i in order]
    shuffled = [numbers[i] for i in order]
    if as_effort:
        message.effort = shuffled
    else:
        message.position = shuffled
    back = convert.command_from_message(HAND, message)
    assert back.stamp_ns == stamp
    taken = back.effort if as_effort else back.position
    np.testing.assert_array_equal(taken, values)
    assert (back.position is None) == as_effort


def good():
    return JointState(name=list(HAND.joint_names), position=[0.1] * 16)


@pytest.mark.parametrize('damage', [
    lambda m: setattr(m, 'name', m.name[:-1]),
    lambda m: setattr(m, 'name', [*m.name[:-1], 'ah_joint15']),
    lambda m: setattr(m, 'name', [*m.name[:-1], m.name[0]]),
    lambda m: setattr(m, 'name', []),
    lambda m: setattr(m, 'position', [0.1] * 15),
    lambda m: setattr(m, 'position', []),
    lambda m: setattr(m, 'position', [float('nan')] * 16),
    lambda m: setattr(m, 'position', [float('inf')] + [0.0] * 15),
    lambda m: setattr(m, 'effort', [0.1] * 16),
    lambda m: setattr(m, 'velocity', [0.0] * 15 + [1.0]),
])
def test_a_damaged_command_is_refused(damage):
    message = good()
    convert.command_from_message(HAND, message)
    damage(message)
    with pytest.raises(CommandRefused):
        convert.command_from_message(HAND, message)


def test_wrong_names_list_both_sets():
    message = good()
    message.name = ['ah_joint00', *message.name[1:]]
    with pytest.raises(CommandRefused) as caught:
        convert.command_from_message(HAND, message)
    assert 'ah_joint00' in str(caught.value)
    assert all(name in str(caught.value) for name in HAND.joint_names)


def test_joint_states_are_in_newton_metres_or_empty():
    message = over_the_wire(convert.joint_state_message(HAND, state()))
    assert tuple(message.name) == HAND.joint_names
    np.testing.assert_allclose(message.effort, 143.0 / HAND.per_nm)
    assert convert.to_ns(message.header.stamp) == 5_000_000_001
    assert len(convert.joint_state_message(HAND, state(current_ma=None)).effort) == 0


def test_raw_touch_survives_with_missing_taxels():
    values = np.arange(16) * 100.0
    values[3] = np.nan
    stamp, back = convert.tactile_from_raw(over_the_wire(convert.raw_message(HAND, state(tactile=frozen(values)))))
    assert stamp == 5_000_000_001
    np.testing.assert_array_equal(back, values)
    with pytest.raises(ConfigError):
        convert.raw_message(HAND, state(tactile=None))


def test_points_survive():
    pressure, valid = np.arange(16) * 50.0, np.arange(16) % 3 > 0
    xyz = Kinematics(HAND).taxel_poses(HAND.pose('home'))[:, :3, 3]
    message = over_the_wire(convert.points_message(HAND, TactileFrame(9, frozen(pressure), valid), frozen(xyz)))
    assert message.header.frame_id == HAND.palm
    stamp, places, taken, ok = convert.points_from_message(message)
    assert stamp == 9
    np.testing.assert_allclose(places, xyz, atol=1e-7)
    np.testing.assert_array_equal(taken, pressure)
    np.testing.assert_array_equal(ok, valid)


@pytest.mark.parametrize('damage', [
    lambda m: setattr(m, 'data', m.data[:-1]),
    lambda m: setattr(m, 'width', 15),
    lambda m: setattr(m, 'is_bigendian', True),
    lambda m: setattr(m, 'fields', m.fields[:-1]),
    lambda m: setattr(m.fields[0], 'datatype', 8),
    lambda m: setattr(m.fields[3], 'offset', 4000),
    lambda m: setattr(m, 'data', bytes(len(m.data))),
])
def test_a_damaged_cloud_is_refused(damage):
    frame = TactileFrame(9, frozen(np.zeros(16)), np.ones(16, bool))
    message = over_the_wire(convert.points_message(HAND, frame, frozen(np.zeros((16, 3)))))
    convert.points_from_message(message)
    damage(message)
    with pytest.raises(ProtocolError):
        convert.points_from_message(message)


@settings(max_examples=50)
@given(st.binary(max_size=64), st.integers(0, 64), st.integers(0, 64), st.integers(0, 3))
def test_no_cloud_whatsoever_crashes_the_reader(data, width, step, height):
    message = PointCloud2(fields=convert.raw_message(HAND, state()).fields, width=width, height=height, point_step=step)
    message.data = data
    try:
        _, values = convert.tactile_from_raw(message)
    except ProtocolError:
        return
    assert values.shape == (width * height,)
