"""Clearance between fingers: never more than a physics engine's distance, and rarely much less."""

import numpy as np
import pytest
from allegro_description.mjcf import build_mjcf
from allegro_description.model import available_hands, load_hand
from allegro_driver.control.clearance import Clearance

mujoco = pytest.importorskip('mujoco')


@pytest.mark.parametrize('name', available_hands())
def test_clearance_is_a_tight_lower_bound_of_the_true_distance(name):
    model = load_hand(*name.rsplit('_', 1))
    clearance = Clearance(model)
    world = mujoco.MjModel.from_xml_string(build_mjcf(model))
    data = mujoco.MjData(world)
    geoms: dict[str, list[int]] = {}
    for g in range(world.ngeom):
        geoms.setdefault(world.body(world.geom_bodyid[g]).name, []).append(g)
    rows = [world.joint(joint).qposadr[0] for joint in model.joint_names]
    positions = np.random.default_rng(3).uniform(model.lower, model.upper, (12, len(model.joints)))
    bounds, slack, overlaps = clearance.of(positions), [], 0
    for position, bound in zip(positions, bounds, strict=True):
        data.qpos[rows] = position
        mujoco.mj_forward(world, data)
        for pair, value in zip(clearance.pairs, bound, strict=True):
            first, second = (geoms[link] for link in pair.links)
            true = min(mujoco.mj_geomDistance(world, data, a, b, 1.0, None) for a in first for b in second)
            assert value <= true + 1e-6, pair
            assert (value > 0) == (true > 0) or abs(true) < 1e-4, pair
            overlaps += true < 0
            if 0 < true < 0.01:
                slack.append(true - value)
    assert overlaps  # random poses do touch: the law was tried on both sides
    assert np.quantile(slack, 0.9) < 0.0005


def test_pairs_are_those_of_different_fingers_and_of_far_links_with_the_palm():
    model = load_hand()
    pairs = {pair.links for pair in Clearance(model).pairs}
    assert ('palm_link', 'link_3_0') in pairs
    assert ('palm_link', 'link_0_0') not in pairs
    assert ('link_3_0', 'link_15_0') in pairs
    assert not any({'link_2_0', 'link_3_0'} == set(links) for links in pairs)


def test_many_poses_at_once_are_the_single_ones():
    model = load_hand()
    clearance = Clearance(model)
    positions = np.stack([model.pose(name) for name in model.poses])
    together = clearance.of(positions)
    for k, position in enumerate(positions):
        np.testing.assert_allclose(clearance.of(position[None])[0], together[k])
