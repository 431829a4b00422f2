"""Prepared messages are the ordinary ones (but for padding bytes, which the middleware leaves as they are)."""

import dataclasses

import numpy as np
import pytest
from allegro_description.model import available_hands, load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.testing import require_graph
from allegro_description.state import HandState

require_graph()
from allegro_description.ros.convert import joint_state_message, raw_message  # noqa: E402
from allegro_description.ros.prepared import PreparedJointState, PreparedRaw  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

pytestmark = pytest.mark.graph
HANDS = [prefixed(load_hand(*name.rsplit('_', 1)), prefix) for name in available_hands() for prefix in ('', 'left_')]


@pytest.mark.parametrize('effort', [True, False])
@pytest.mark.parametrize('hand', HANDS, ids=lambda h: h.palm + ' ' + h.name)
def test_joint_states(hand, effort):
    prepared, rng, n = PreparedJointState(hand, effort=effort), np.random.default_rng(0), len(hand.joints)
    for scale in (0.0, 1.0, -1.0, 1e-300, 1e300, np.inf):
        rows, stamp = np.nan_to_num(rng.normal(size=(3, n)) * scale), int(rng.integers(0, 2**60))
        state = HandState(0, 1, rows[0], rows[1], rows[2] if effort else None)
        want = joint_state_message(hand, dataclasses.replace(state, stamp_ns=stamp))
        filled = prepared.fill(stamp, state)
        assert deserialize_message(filled, type(want)) == want
        assert len(filled) == len(bytes(serialize_message(want)))


@pytest.mark.parametrize('hand', [h for h in HANDS if h.taxels], ids=lambda h: h.palm + ' ' + h.name)
def test_raw_touch(hand):
    prepared, rng = PreparedRaw(hand), np.random.default_rng(1)
    for _ in range(20):
        zeros, stamp = np.zeros(len(hand.joints)), int(rng.integers(0, 2**60))
        state = HandState(0, 1, zeros, zeros, None, rng.uniform(0, 1e5, len(hand.taxels)))
        want = raw_message(hand, dataclasses.replace(state, stamp_ns=stamp))
        filled = prepared.fill(stamp, state)
        assert deserialize_message(filled, type(want)) == want
        assert len(filled) == len(bytes(serialize_message(want)))
