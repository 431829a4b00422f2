"""A prefix changes names and nothing else."""

from xml.etree import ElementTree

import numpy as np
import pytest
from allegro_description.errors import ConfigError
from allegro_description.kinematics import Kinematics
from allegro_description.model import available_hands, load_hand
from allegro_description.prefix import prefixed
from allegro_description.urdf import build_urdf

HANDS = available_hands()


@pytest.mark.parametrize('name', HANDS)
def test_a_prefix_changes_names_and_nothing_else(name):
    hand = load_hand(*name.rsplit('_', 1))
    other = prefixed(hand, 'left_')
    assert other.joint_names == tuple('left_' + n for n in hand.joint_names)
    assert all((other.permutation(o) == hand.permutation(o)).all() for o in hand.orders)
    q = (hand.lower + hand.upper) / 2
    ours, theirs = Kinematics(hand).link_poses(q), Kinematics(other).link_poses(q)
    assert all(np.array_equal(theirs['left_' + link], pose) for link, pose in ours.items())
    assert prefixed(hand, '') is hand


@pytest.mark.parametrize('name', HANDS)
def test_the_robot_description_has_the_same_names(name):
    hand = load_hand(*name.rsplit('_', 1))
    described, renamed = (
        [[e.get('name') for e in ElementTree.fromstring(text).findall(kind)] for kind in ('link', 'joint')]
        for text in (build_urdf(hand, 'right_'), build_urdf(prefixed(hand, 'right_')))
    )
    assert described[0] == renamed[0]
    moving = len(hand.joints)
    assert described[1][:moving] == renamed[1][:moving] == list(prefixed(hand, 'right_').joint_names)


@pytest.mark.parametrize('prefix', ['1_', 'left hand', 'a/b', '_x', 'ä_'])
def test_strange_prefixes_are_refused(prefix):
    with pytest.raises(ConfigError, match='left_'):
        prefixed(load_hand(), prefix)
