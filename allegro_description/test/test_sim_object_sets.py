"""Object sets: disjoint, within bounds, physically right; what is edited in place is what would be compiled."""

import mujoco
import numpy as np
import pytest
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.mjcf import Physics, Scene, build_mjcf
from allegro_description.model import load_hand
from allegro_description.simulation import object_sets
from allegro_description.simulation.episode import Episode
from allegro_description.simulation.models import model_for
from allegro_description.simulation.object_sets import FAMILIES, HOUSEHOLD, NOVEL, sample_object
from allegro_description.simulation.objects import OBJECT_SETS, ObjectSpec, compound, object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.solids import MAX_HULL_VERTICES, Solid, moments
from allegro_description.simulation.surfaces import drawn_triangles
from allegro_description.viewer.scene import object_mesh

HAND = load_hand()
EDITED = ('geom_size', 'geom_pos', 'geom_rbound', 'geom_aabb', 'geom_friction', 'geom_rgba', 'mesh_vert', 'body_mass',
          'body_inertia', 'body_ipos', 'body_iquat', 'body_subtreemass', 'body_invweight0', 'dof_invweight0')


def draws(object_set, n):
    return [sample_object(object_rng(s, object_set, 0), object_set) for s in range(n)]


def weighed(obj):
    """MuJoCo's own mass properties of the solids, for comparison: its convex hulls, its primitives."""
    assets, geoms = [], []
    for k, s in enumerate(obj.solids):
        size = [v / 2 for v in s.size] if s.kind == 'box' else [*s.size[:1], *[v / 2 for v in s.size[1:]]]
        place = f'pos="{" ".join(map(str, s.xyz))}" quat="{" ".join(map(str, s.quat))}"'
        if s.kind == 'hull':
            points = ' '.join(str(v) for point in s.vertices for v in point)
            assets.append(f'<mesh name="m{k}" inertia="convex" vertex="{points}"/>')
            geoms.append(f'<geom type="mesh" mesh="m{k}" {place}/>')
        else:
            geoms.append(f'<geom type="{s.kind}" size="{" ".join(map(str, size))}" {place}/>')
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><asset>{"".join(assets)}</asset><worldbody><body name="b"><freejoint/>{"".join(geoms)}</body>'
        '</worldbody></mujoco>')
    return model.body('b')


@pytest.mark.parametrize('object_set', OBJECT_SETS)
def test_draws_keep_the_bounds_of_their_set(object_set):
    drawn = draws(object_set, 200)
    heavy, slippery = object_set == 'H4', object_set == 'H4'
    for o in drawn:
        assert 0.015 <= o.mass <= (0.60 if heavy else 0.40)
        assert (0.20 if slippery else 0.35) <= o.friction <= 1.2
        assert np.all(np.abs(o.com) <= np.array(o.extent) / 8 + 1e-12)
        assert 0.95 <= o.scale <= 1.05
        assert sum(len(s.vertices) for s in o.solids) <= MAX_HULL_VERTICES
    names = {'H2': set(NOVEL), 'H3': set(HOUSEHOLD)}.get(object_set, set(FAMILIES))
    assert {o.shape for o in drawn} == names
    if object_set == 'H4':
        assert all(o.mass >= 0.40 or o.friction <= 0.35 for o in drawn)
        assert any(o.mass < 0.40 for o in drawn)
        assert any(o.friction > 0.35 for o in drawn)


def test_no_object_occurs_twice_or_in_two_sets():
    drawn = [o for name in OBJECT_SETS for o in draws(name, 100)]
    assert len(set(drawn)) == len(drawn)
    hulls = [{o.parts for o in draws(name, 300) if o.shape == 'superquadric'} for name in ('train', 'H1')]
    assert not hulls[0] & hulls[1]
    assert len(hulls[0]) > 20


def test_drawing_is_reproducible_and_refuses_what_it_does_not_know():
    assert draws('H2', 20) == draws('H2', 20)
    with pytest.raises(UnknownName, match='H3'):
        sample_object(np.random.default_rng(0), 'H9')
    with pytest.raises(ConfigError, match='vertices'):
        Solid('hull', vertices=((0.0, 0.0, 0.0),) * 80)


@pytest.mark.parametrize('obj', [
    *[object_sets._variant(name, 3) for name in NOVEL if name != 'bent_chain'],
    *[object_sets._thing(name) for name in HOUSEHOLD if name != 'banana'], object_sets._superquadric('train', 1)],
    ids=lambda o: o.shape)
def test_mass_properties_are_those_of_the_shape(obj):
    body = weighed(obj)
    np.testing.assert_allclose(body.ipos, 0.0, atol=1e-6)
    np.testing.assert_allclose(np.sort(obj.inertia) / obj.mass, np.sort(body.inertia) / float(body.mass[0]), rtol=2e-3)


@pytest.mark.parametrize('object_set', OBJECT_SETS)
def test_surfaces_for_viewers_enclose_the_solids_and_face_outwards(object_set):
    for seed, obj in enumerate(draws(object_set, 25)):
        corners = drawn_triangles(seed, object_set)
        assert corners.shape[1:] == (3, 3)
        volume = np.einsum('ni,ni->', corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        solid = sum(s.mass_properties()[0] for s in obj.solids if s.weight > 0)
        assert 0.92 * solid < volume <= 1.001 * solid       # facets cut a round thing
        mesh = object_mesh('triangles', (1.0, 1.0, 1.0), corners)
        assert mesh.volume == pytest.approx(volume, rel=1e-6)
        assert np.abs(2 * mesh.vertices).max(axis=0) == pytest.approx(obj.extent, rel=0.02)


def test_the_overlap_of_a_chain_counts_once():
    # a straight chain of two capsules is one long capsule
    straight = compound('chain', object_sets.chain(0.015, 0.04, (0.0,)), 0.1)
    whole = ObjectSpec('capsule', (0.015, 0.08), 0.1)
    np.testing.assert_allclose(np.sort(straight.inertia), np.sort(whole.inertia), rtol=1e-9)
    assert np.allclose(moments(straight.parts)[0], 0.0)


@pytest.mark.parametrize('object_set', OBJECT_SETS)
def test_editing_in_place_gives_what_compiling_gives(object_set):
    for obj in draws(object_set, 12):
        options = {'timestep': 0.004, 'actuation': 'position'}
        fitted = model_for(HAND, obj, physics=Physics(), **options)
        compiled = mujoco.MjModel.from_xml_string(build_mjcf(HAND, scene=Scene(obj), **options))
        for name in EDITED:
            np.testing.assert_allclose(getattr(fitted, name), getattr(compiled, name), rtol=2e-5, atol=1e-8,
                                       err_msg=f'{name} of {obj.shape}')


@pytest.mark.parametrize('object_set', OBJECT_SETS)
def test_every_set_is_presented_clear_of_the_hand(object_set):
    for seed in range(20):
        episode = Episode(HAND, seed, 'L1', object_set)
        plant = Plant(HAND, episode.obj, timestep=0.004, actuation='position')
        episode.reset(plant)
        assert plant.object_penetration < 0.0005
        plant.advance(50)
        assert not plant.unstable
