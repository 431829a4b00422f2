"""Golden vectors and statistics: what proves nothing, cannot be read, or is no number is refused."""

import io
import zipfile

import numpy as np
import pytest
from ai_bundles import bundle_of, sound_files
from allegro_ai.evidence.mutants import mended
from allegro_ai.export import to_npz
from allegro_ai.golden import random_observations
from allegro_ai.observation import ObservationSpec
from allegro_ai.untrusted import parse_arrays
from allegro_description.errors import BundleError
from allegro_description.model import load_hand

from allegro_ai import golden

HAND = load_hand()


def arrays_of(name):
    return parse_arrays(sound_files()[name], name)


def with_arrays(name, arrays):
    return mended({**sound_files(), name: arrays if isinstance(arrays, bytes) else to_npz(arrays)}).files


def without_input(arrays):
    del arrays['input/joint_delta']


def too_few(arrays):
    for name in arrays:
        arrays[name] = arrays[name][:10]


def no_steps(arrays):
    for name in arrays:
        arrays[name] = arrays[name][:, :0]


def nan_output(arrays):
    arrays['output'][0, 0, 0] = np.nan


def nan_input(arrays):
    arrays['input/joint_delta'][3, 0, 2] = np.inf


def doubles(arrays):
    arrays['output'] = arrays['output'].astype(np.float64)


def extra(arrays):
    arrays['output/slip_probability'] = arrays['output'][..., :1]


@pytest.mark.parametrize('change', [without_input, too_few, no_steps, nan_output, nan_input, doubles, extra])
def test_golden_vectors_that_prove_nothing_are_refused(change):
    arrays = arrays_of('golden.npz')
    change(arrays)
    with pytest.raises(BundleError, match=golden.FILE):
        bundle_of(with_arrays('golden.npz', arrays)).policy()


@pytest.mark.parametrize(('name', 'value'), [
    ('mean', lambda a: a[:-1]), ('scale', lambda a: a * 0), ('terms', lambda a: np.array(['x'])),
    ('mean', lambda a: a * np.nan), ('whiten', lambda a: a.astype(str)), ('terms', lambda a: np.array(3.0)),
    ('scale', lambda a: a > 0), ('terms', lambda a: a[:0]),
])
def test_statistics_that_cannot_score_are_refused(name, value):
    arrays = arrays_of('ood.npz')
    arrays[name] = value(arrays[name])
    with pytest.raises(BundleError, match=r'ood\.npz'):
        bundle_of(with_arrays('ood.npz', arrays))


def test_ood_score_is_near_one_inside_and_large_outside():
    model = bundle_of(sound_files()).ood()
    inside = random_observations(HAND, ObservationSpec(), 300, 1, seed=5)[0]
    score = model.score(inside)
    assert 0.8 < np.median(score) < 1.2
    assert np.quantile(score, 0.99) < 3
    outside = {**inside, 'joint_delta': inside['joint_delta'] + 1.0}
    assert (model.score(outside) > 6).all()


def zipped(member, name='output.npy', **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', **options) as archive:
        archive.writestr(name, member)
    return buffer.getvalue()


def npy(header):
    """A .npy with any text as header."""
    text = header.encode()
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text


def objects():
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, output=np.array([{'a': 1}], dtype=object))
    return buffer.getvalue()


def plain(shape, descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(('data', 'message'), [
    (objects(), 'no objects'),
    (zipped(npy(plain('(4000000000000,)'))), 'does not fit'),
    (zipped(npy(plain('(-4,)'))), 'shape'),
    (zipped(npy(plain('()', "[('a', '<f4')]"))), 'only numbers and text'),
    (zipped(npy(plain("(__import__('os').getpid(),)"))), 'not a plain numpy archive'),
    (zipped(npy('[' * 3000)), 'not a plain numpy archive'),
    (zipped(b'\x93NUMPY\x09\x00'), 'format version'),
    (zipped(b'', name='../output.npy.txt'), 'no array'),
    (zipped(bytes(65 * 1024 * 1024), compression=zipfile.ZIP_DEFLATED), 'unpacked'),
    (zipped(b'x' * 99, compression=zipfile.ZIP_LZMA), 'unusual'),
    (b'PK no zip', 'not a plain numpy archive'),
], ids=lambda v: v if isinstance(v, str) else '')
def test_archives_that_are_not_plain_are_refused(data, message):
    with pytest.raises(BundleError, match=message) as error:
        parse_arrays(data, 'golden.npz')
    assert '\n' not in str(error.value)


def test_arrays_come_back_as_they_were():
    rng = np.random.default_rng(1)
    arrays = {'a': rng.normal(size=(3, 4, 5)).astype(np.float32), 'b': np.asfortranarray(rng.normal(size=(4, 3))),
              'c': np.array(['x', 'yz']), 'd': np.array(7), 'e': np.zeros((0, 5), np.float32), 'f': np.array([True]),
              'g': np.arange(3, dtype='>i4')}
    back = parse_arrays(to_npz(arrays), 'x.npz')
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype.isnative
