"""Laws of the mesh kit: whatever the dimensions, solids are closed, face outwards and have their size."""

import numpy as np
import pytest
from allegro_description.kinematics import homogeneous, rotation
from allegro_description.meshes import outlines, solids
from allegro_description.meshes.mesh import Mesh, merged
from hypothesis import given, settings
from hypothesis import strategies as st

LENGTH = st.floats(0.004, 0.1)


def sound(mesh):
    assert mesh.open_edges == 0
    assert mesh.volume > 0
    assert np.isfinite(mesh.vertices).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1)[mesh.faces], 1.0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(LENGTH, LENGTH, LENGTH)
def test_rounded_primitives_have_their_outer_dimensions(x, y, z):
    for mesh, size in (
        (solids.rounded_box((x, y, z), 0.1 * min(x, y, z)), (x, y, z)),
        (solids.rounded_cylinder(x, y, 0.1 * min(x, y)), (2 * x, 2 * x, y)),
        (solids.capsule(x, y), (2 * x, 2 * x, y + 2 * x)),
        (solids.prism(outlines.rectangle(x, y, 0.3 * min(x, y)), 0.0, z, 0.1 * min(x, y, z)), (x, y, z)),
    ):
        sound(mesh)
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), size, rtol=1e-6)
        assert mesh.volume < size[0] * size[1] * size[2]


@pytest.mark.parametrize(('mesh', 'volume'), [
    (solids.capsule(0.01, 0.03, 12), np.pi * 1e-4 * 0.03 + 4 / 3 * np.pi * 1e-6),
    (solids.capsule(0.01, 0.0, 12), 4 / 3 * np.pi * 1e-6),
    (solids.rounded_cylinder(0.01, 0.02, 1e-5, 12), np.pi * 1e-4 * 0.02),
    (solids.rounded_box((0.05, 0.12, 0.146), 1e-5), 0.05 * 0.12 * 0.146),
    (solids.prism(outlines.rectangle(0.05, 0.03, 1e-5), 0.01, 0.03, 0.0), 0.05 * 0.03 * 0.02),
    (solids.lathe([(0.01, 0.0), (0.02, 0.03)], 80), np.pi * 0.03 / 3 * 7e-4),
])
def test_volumes_are_those_of_geometry(mesh, volume):
    sound(mesh)
    assert mesh.volume == pytest.approx(volume, rel=0.012)
    shifted = mesh.moved(homogeneous((1.0, 2.0, 3.0), rotation((0.3, 0.2, 0.1))))
    assert shifted.volume == pytest.approx(mesh.volume, rel=1e-6), 'an open mesh has no volume of its own'


def test_a_hole_and_a_flipped_face_are_found():
    whole = solids.rounded_box((0.02, 0.03, 0.04), 0.002)
    largest = int(np.argmax(np.linalg.norm(whole.face_normals, axis=1)))
    assert Mesh(whole.vertices, np.delete(whole.faces, largest, axis=0)).open_edges > 0
    flipped = whole.faces.copy()
    flipped[largest] = flipped[largest, ::-1]
    assert Mesh(whole.vertices, flipped).open_edges > 0
    assert merged([whole, whole.moved(homogeneous((1.0, 0.0, 0.0), np.eye(3)))]).open_edges == 0


def test_a_mirrored_mesh_still_faces_outwards():
    whole = solids.lathe([(0.01, 0.0), (0.02, 0.01), (0.005, 0.03)])
    mirrored = whole.moved(np.diag([1.0, -1.0, 1.0, 1.0]))
    assert mirrored.volume == pytest.approx(whole.volume)
    sound(mirrored)


@pytest.mark.parametrize('n', range(3, 12))
def test_convex_outlines_are_cut_completely(n):
    outline = outlines.circle(0.01, n)
    triangles = outlines.triangles(outline)
    assert len(triangles) == n - 2
    a, b, c = (outline[triangles[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (areas > 0).all()
    assert areas.sum() == pytest.approx(outlines.area(outline))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 0.05), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.0005, 0.002))
def test_hollow_outlines_are_cut_completely_and_stay_simple_when_inset(size, across, deep, distance):
    notch = [(across * size, size), (across * size, deep * size), (0.1 * size, deep * size), (0.1 * size, size)]
    outline = outlines.rounded([(0, 0), (size, 0), (size, size), *notch, (0, size)], 0.0004)
    triangles = outlines.triangles(outline)
    assert len(triangles) == len(outline) - 2
    a, b, c = (outline[triangles[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (areas > -1e-12).all()
    assert areas.sum() == pytest.approx(outlines.area(outline), rel=1e-9)
    assert outlines.area(outlines.inset(outline, 0.0003)) < outlines.area(outline)
    sound(solids.prism(outline, 0.0, distance, 0.0003))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 0.06), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_the_largest_rectangle_lies_inside_and_is_the_larger_arm_of_an_l(size, across, deep):
    corners = [(0, 0), (size, 0), (size, deep * size), (across * size, deep * size), (across * size, size), (0, size)]
    outline = np.array(corners)
    step = size / 40
    x0, x1, y0, y1 = outlines.largest_rectangle(outline, step)
    found = np.array([(x, y) for x in (x0, x1) for y in (y0, y1)])
    assert outlines.contains(outline, found + 1e-3 * (found.mean(axis=0) - found)).all()
    expected = max(deep, across) * size**2
    assert (x1 - x0) * (y1 - y0) == pytest.approx(expected, abs=4 * step * size)
    outside = size * np.array([[0.9, 0.9], [-0.2, 0.0], [2.0, 0.1]])
    assert not outlines.contains(outline, outside).any()


def test_creases_stay_sharp_and_round_edges_round():
    sharp = solids.lathe([(0.01, 0.0), (0.01, 0.02), (0.01, 0.02), (0.005, 0.02)])
    upright = np.abs(sharp.normals @ [0.0, 0.0, 1.0])
    crease = np.isclose(sharp.vertices[:, 2], 0.02) & np.isclose(np.linalg.norm(sharp.vertices[:, :2], axis=1), 0.01)
    assert {round(v, 3) for v in upright[crease].tolist()} == {0.0, 1.0}
    ball = solids.capsule(0.01, 0.0, 9)
    assert (ball.normals * ball.vertices / 0.01).sum(axis=1).min() > 0.999
