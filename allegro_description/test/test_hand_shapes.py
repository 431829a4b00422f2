"""Collision shapes lie inside the vendor's meshes as far as their bounding boxes tell, and fill a good part of them."""

import numpy as np
import pytest
from allegro_description.kinematics import rotation
from allegro_description.model import load_hand

# Corners of the bounding boxes of the vendor's meshes, mm, link frame; one link of each shape, tips in the tip's frame.
# Not every mesh is published.
MESHES = {
    'v4': {
        'palm_link': ((-29.5, -56.7, -95), (11.3, 56.7, 1.7)),
        'link_00': ((-39.2, -8.2, -8), (5.5, 26.1, 41.8)),
        'link_01': ((-9.8, -13.5, -0.2), (9.8, 13.5, 21.8)),
        'link_02': ((-9.8, -13.5, -8.8), (9.8, 13.6, 57.7)),
        'link_03': ((-9.8, -13.5, -8.8), (9.8, 13.6, 31.3)),
        'link_04': ((-14, -13.9, -12), (14, 13.9, 16)),
        'link_10': ((-9.8, -13.5, 0), (9.8, 13.5, 22)),
        'link_11': ((-9.8, -13.6, -8.8), (9.8, 13.5, 62.8)),
        'link_12': ((-9.8, -13.6, -6.3), (9.8, 13.5, 47.2)),
        'link_13': ((-9.8, -13.5, -6.3), (9.8, 13.5, 15.7)),
        'link_14': ((-14, -13.9, -12), (14, 13.9, 16)),
    },
    'v5_a': {
        'palm_link': ((-42.5, -64, -102), (20.1, 63.7, -2)),
        'link_0_0': ((-10.6, -15.8, -25.4), (15.4, 16.2, 29.9)),
        'link_1_0': ((-10.1, -15.7, -8.6), (9.9, 16.2, 60.6)),
        'link_2_0': ((-10.1, -15.7, -8.4), (9.9, 16.2, 48.1)),
        'link_3_0': ((-13.1, -15.8, -8.8), (12.9, 16.2, 26.5)),
        'link_3_0_tip': ((-13.8, -13.9, -8), (14.2, 14.1, 20)),
        'link_12_0': ((-26, -10.1, -9.2), (15, 10, 52.3)),
        'link_13_0': ((-10.9, -17.9, -52.1), (11.1, 15.9, 8.9)),
        'link_14_0': ((-9.9, -17.6, -9.6), (10.2, 17, 46.9)),
        'link_15_0': ((-14.1, -15.7, -9.5), (14, 14.8, 38.1)),
        'link_15_0_tip': ((-14.1, -14.5, -15.2), (13.9, 13.5, 12.8)),
    },
    'v5_b': {
        'palm_link': ((-42.5, -64, -102), (20.1, 63.7, -2)),
        'link_0_0': ((-10.3, -18.3, -32.3), (16.7, 18.3, 26.5)),
        'link_2_0': ((-9.8, -18.2, -8.9), (10.2, 16.4, 47.6)),
        'link_3_0': ((-13.8, -18.2, -8.9), (14.2, 16.4, 27.1)),
        'link_3_0_tip': ((-13.8, -14.9, -15.9), (14.2, 13.1, 12)),
        'link_12_0': ((-26, -10.1, -9.2), (15, 10, 52.3)),
        'link_13_0': ((-10.9, -17.9, -52.1), (11.1, 15.9, 8.9)),
        'link_14_0': ((-9.9, -17.6, -9.6), (10.2, 17, 46.9)),
        'link_15_0': ((-14.1, -15.7, -9.5), (14, 14.8, 38.1)),
        'link_15_0_tip': ((-14.1, -14.5, -15.2), (13.9, 13.5, 12.8)),
    },
    'v5_sense': {
        'palm_link': ((-44, -62.6, -152.5), (23, 62.3, -0.3)),
        'link_0_0': ((-24.9, -17.4, -9), (9.2, 17.4, 42.5)),
        'link_2_0': ((-9.9, -18, -8.4), (17.1, 16.5, 48.1)),
        'link_3_0': ((-14.4, -18, -8.4), (14.6, 16.5, 24.1)),
        'link_3_0_tip': ((-14, -14, -20.2), (14, 14, 17.1)),
        'link_12_0': ((-25.1, -10, -10.3), (26.4, 10.1, 39.8)),
        'link_13_0': ((-11.1, -18.2, -51.8), (11, 17.3, 9.3)),
        'link_14_0': ((-10.1, -17.1, -9.3), (17, 17.4, 47.3)),
        'link_15_0': ((-14.4, -16, -9.5), (17.1, 16.4, 34.6)),
        'link_15_0_tip': ((-14, -14, -19.8), (14, 14, 17.6)),
    },
    'plexus': {
        'palm_link': ((-42.5, -58.9, -100), (14, 58.9, 0)),
        'link_00': ((-15, -27.5, -10), (14.5, 9.5, 21.4)),
        'link_01': ((-18.5, -7.5, -17), (11.5, 41.6, 17)),
        'link_02': ((-15.5, -5.1, -10.5), (15.5, 24, 10.5)),
        'link_03': ((-15.5, -9.5, -18), (15.5, 53, 12.5)),
        'link_04': ((-14, -9.5, -18), (14, 76.4, 17)),
        'link_10': ((-21.5, -10, -24.5), (8, 10, 9.5)),
        'link_11': ((-23.1, -15.5, -7.5), (9, 15.5, 39)),
        'link_12': ((-18, -12.5, -9.5), (13, 12.5, 58.5)),
        'link_13': ((-18, -15.5, -9.5), (13, 15.5, 45)),
        'link_14': ((-15.9, -15.5, -7), (17, 15.5, 62.8)),
    },
    'v5_3f': {
        'palm_link': ((-35, -29.4, -92.2), (35.1, 48.5, -0.2)),
        'link_0_0': ((-21.5, -9, -52.4), (22.6, 53.8, 11.8)),
        'link_1_0': ((-20, -14.3, -11.3), (20.9, 17.3, 63.3)),
        'link_2_0': ((-15, -13.7, -9.4), (16.2, 16.3, 51.1)),
    },
}
# mm. The V5 Sense's shapes are those that the shipped policies were trained with; they stay.
TOLERANCE = {'v5_sense': 2.2}


def links():
    for model, boxes in MESHES.items():
        hand = load_hand(model, 'right')
        lead = 'ah_' if hand.palm.startswith('ah_') else ''
        for link in hand.links:
            box = boxes.get(link.name.removeprefix(lead))
            if box is not None:
                yield pytest.param(hand, link, boxes, lead, id=f'{model}-{link.name}')


def extent(shapes):
    """Corners of the box around some shapes, mm, link frame."""
    corners = []
    for shape in shapes:
        if shape.kind == 'box':
            half = np.abs(rotation(shape.rpy)) @ np.array(shape.size) / 2
        else:
            along = np.abs(rotation(shape.rpy)[:, 2]) * (shape.size[1] / 2 if len(shape.size) > 1 else 0.0)
            half = along + shape.size[0]
        corners.append([shape.xyz - half, shape.xyz + half])
    low, high = np.array(corners).transpose(1, 0, 2) * 1e3
    return low.min(axis=0), high.max(axis=0)


@pytest.mark.parametrize(('hand', 'link', 'boxes', 'lead'), links())
def test_shapes_lie_inside_the_mesh_and_fill_it(hand, link, boxes, lead):
    low, high = (np.array(v) for v in boxes[link.name.removeprefix(lead)])
    for frame in hand.frames:
        if frame.parent == link.name and frame.name.removeprefix(lead) in boxes:
            tip_low, tip_high = (np.add(v, np.array(frame.xyz) * 1e3) for v in boxes[frame.name.removeprefix(lead)])
            low, high = np.minimum(low, tip_low), np.maximum(high, tip_high)
    shapes, slack = link.shapes, TOLERANCE.get(hand.model, 1.0)
    if hand.model == 'v5_3f':
        shapes = [s for s in shapes if s.kind == 'box']     # the mesh of its tips is not published
    ours_low, ours_high = extent(shapes)
    assert (ours_low > low - slack).all(), (ours_low - low).round(1)
    assert (ours_high < high + slack).all(), (ours_high - high).round(1)
    assert ((ours_high - ours_low) / (high - low) > 0.35).all(), 'a shape that is much smaller than the part'
