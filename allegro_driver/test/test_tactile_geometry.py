"""The fast kinematics is the plain one; wrenches obey statics."""

import numpy as np
from allegro_description.kinematics import Kinematics
from allegro_description.model import load_hand
from allegro_driver.touch_geometry import TouchGeometry
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

HAND = load_hand()
PLAIN, FAST = Kinematics(HAND), TouchGeometry(HAND)
angles = hnp.arrays(np.float64, 16, elements=st.floats(-3.0, 3.0))
forces = hnp.arrays(np.float64, len(HAND.taxels), elements=st.floats(0.0, 20.0))


@settings(max_examples=50)
@given(angles)
def test_fast_and_plain_kinematics_agree(position):
    cells, tips = FAST.update(position)
    np.testing.assert_allclose(cells, PLAIN.taxel_poses(position), atol=1e-12)
    np.testing.assert_allclose(tips[:, :3, 3], PLAIN.tip_positions(position), atol=1e-12)


@settings(max_examples=50)
@given(angles, forces)
def test_a_wrench_is_the_sum_of_its_cells(position, force):
    got_force, got_torque = FAST.wrenches(*FAST.update(position), force)
    poses = PLAIN.frame_poses(position)
    for row, finger in enumerate(HAND.fingers):
        tip = poses[finger.tip]
        total, moment = np.zeros(3), np.zeros(3)
        for i, taxel in enumerate(HAND.taxels):
            if taxel.finger == finger.name:
                pose = poses[taxel.frame]
                push = pose[:3, :3] @ np.array(taxel.normal) * force[i]
                total += push
                moment += np.cross(pose[:3, 3] - tip[:3, 3], push)
        np.testing.assert_allclose(got_force[row], tip[:3, :3].T @ total, atol=1e-9)
        np.testing.assert_allclose(got_torque[row], tip[:3, :3].T @ moment, atol=1e-9)


def test_a_fingertip_alone_pushes_along_its_normal_without_torque():
    force = np.zeros(len(HAND.taxels))
    force[HAND.tip_taxels[0]] = 2.0
    got_force, got_torque = FAST.wrenches(*FAST.update(HAND.pose('home')), force)
    np.testing.assert_allclose(got_force[0], [2.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(got_torque, 0.0, atol=1e-12)
    np.testing.assert_allclose(got_force[1:], 0.0, atol=1e-12)


def test_the_palm_belongs_to_no_finger():
    force = np.zeros(len(HAND.taxels))
    force[[t.name for t in HAND.taxels].index('palm')] = 5.0
    got_force, _ = FAST.wrenches(*FAST.update(HAND.pose('zero')), force)
    assert not got_force.any()
