"""A description based on another one: what is merged, what is mirrored, what is refused, what the hash covers."""

import numpy as np
import pytest
import yaml
from allegro_description.description_file import read_document
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.kinematics import rotation
from allegro_description.model import load_hand, read_hand
from allegro_description.share import share_dir
from hypothesis import given, settings
from hypothesis import strategies as st

RIGHT = (share_dir() / 'hands' / 'v5_sense_right.yaml').read_text()
LEFT = """
base: right
side: left
joints:
  - {name: joint_3_0, limit: [-0.05, 1.0]}
mirrored: {x: [link_13_0], y: others}
poses: {home: null}
unverified: {more: "something; look"}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'right.yaml').write_text(RIGHT)
    (tmp_path / 'left.yaml').write_text(LEFT)
    return tmp_path


def test_rows_are_merged_by_name_and_the_rest_stays(folder):
    right, left = read_hand(folder / 'right.yaml'), read_hand(folder / 'left.yaml')
    assert left.name == 'v5_sense_left'
    assert (left.joints[3].lower, left.joints[3].upper) == (-0.05, 1.0)
    assert [j for k, j in enumerate(left.joints) if k != 3] == [j for k, j in enumerate(right.joints) if k != 3]
    assert set(left.unverified) == {*right.unverified, 'more'}
    assert 'home' not in left.poses
    assert {'zero', 'pregrasp'} <= set(left.poses)


def test_reading_the_base_leaves_the_base_alone(folder):
    before = read_document(folder / 'right.yaml')
    read_document(folder / 'left.yaml')
    assert read_document(folder / 'right.yaml') == before


def test_hash_covers_both_files_and_is_plain_without_a_base(folder):
    first = read_hand(folder / 'left.yaml').sha256
    assert first != read_hand(folder / 'right.yaml').sha256
    (folder / 'left.yaml').write_text(LEFT + '# a remark\n')
    second = read_hand(folder / 'left.yaml').sha256
    (folder / 'left.yaml').write_text(LEFT)
    (folder / 'right.yaml').write_text(RIGHT + '# a remark\n')
    assert len({first, second, read_hand(folder / 'left.yaml').sha256}) == 3


@settings(max_examples=25, deadline=None)
@given(st.sampled_from('xyz'), st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_mirroring_is_a_reflection_and_its_own_inverse(tmp_path_factory, axis, numbers):
    folder = tmp_path_factory.mktemp('mirror')
    doc = yaml.safe_load(RIGHT)
    com, rpy, products = numbers[:3], numbers[3:6], [1e-7 * v for v in numbers[6:]]
    row = next(r for r in doc['links'] if r['names'] == ['link_12_0'])
    row.update(com=com, inertia=[*row['inertia'][:3], *products],
               shapes=[{'kind': 'box', 'size': [0.01, 0.02, 0.03], 'xyz': com, 'rpy': rpy}])
    (folder / 'right.yaml').write_text(yaml.safe_dump(doc))
    mirrored = f'mirrored: {{{axis}: [link_12_0]}}\n'
    (folder / 'once.yaml').write_text('base: right\n' + mirrored)
    (folder / 'twice.yaml').write_text('base: once\n' + mirrored)
    start, once, twice = (
        next(link for link in read_hand(folder / f'{name}.yaml').links if link.name == 'link_12_0')
        for name in ('right', 'once', 'twice'))
    assert twice == start
    reflect = np.diag([-1.0 if a == axis else 1.0 for a in 'xyz'])
    np.testing.assert_allclose(once.com, reflect @ start.com)
    np.testing.assert_allclose(matrix(once), reflect @ matrix(start) @ reflect)
    np.testing.assert_allclose(once.shapes[0].xyz, reflect @ start.shapes[0].xyz)
    np.testing.assert_allclose(
        rotation(once.shapes[0].rpy), reflect @ rotation(start.shapes[0].rpy) @ reflect, atol=1e-12)


def matrix(link):
    ixx, iyy, izz, ixy, ixz, iyz = link.inertia
    return np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])


@pytest.mark.parametrize(('text', 'error', 'words'), [
    ('base: nowhere\n', ConfigError, 'does not exist'),
    ('base: left\n', ConfigError, 'leads back to itself'),
    ('base: right\njoints: [{name: joint_99_0, limit: [0, 1]}]\n', UnknownName, 'joint_99_0'),
    ('base: right\nmirrored: {y: [link_99_0]}\n', UnknownName, 'link_99_0'),
    ('base: right\nmirrored: {w: [link_1_0]}\n', ConfigError, 'allowed: x, y, z'),
    ('base: right\nmirrored: {x: [link_1_0], y: [link_1_0]}\n', ConfigError, 'one mirror'),
    ('base: [right\n', ConfigError, 'damaged'),
    ('- a\n- b\n', ConfigError, 'must be a mapping'),
    ('base: right\njoints: 3\n', ConfigError, 'damaged'),
    ('base: right\nmirrored: 3\n', ConfigError, 'damaged'),
])
def test_damage_is_a_sentence(folder, text, error, words):
    (folder / 'left.yaml').write_text(text)
    with pytest.raises(error, match=words):
        read_hand(folder / 'left.yaml')


def test_a_circle_of_bases_is_refused(folder):
    (folder / 'a.yaml').write_text('base: b\n')
    (folder / 'b.yaml').write_text('base: a\n')
    with pytest.raises(ConfigError, match='leads back'):
        read_hand(folder / 'a.yaml')


def test_confirm_and_touch_reach_the_model():
    left = load_hand('v5_sense', 'left')
    assert 'joint_12_0' in left.confirm['thumb_sign']
    assert left.touch == load_hand('v5_sense', 'right').touch
