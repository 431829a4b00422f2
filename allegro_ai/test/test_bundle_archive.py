"""Packed bundles: what comes out is what went in, and nothing of an archive made on purpose reaches disk or memory."""

import io
import resource
import tarfile
import time

import pytest
import zstandard
from ai_bundles import bundle_of, sound_files
from allegro_ai.archive import pack, parse_archive, write_folder
from allegro_ai.bundle import load_bundle
from allegro_ai.contents import MIB, read_contents
from allegro_description.errors import BundleError
from allegro_description.model import load_hand

from allegro_ai import archive

HAND = load_hand()


def made(*members, root='b', compressed=True):
    """An archive of (name, data) or of TarInfo objects."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(name if name.startswith(('/', '.')) or not root else f'{root}/{name}')
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    raw = buffer.getvalue()
    return zstandard.ZstdCompressor().compress(raw) if compressed else raw


def special(kind, name='b/policy.yaml', target='/etc/passwd'):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_packed_bundle_is_the_bundle(tmp_path):
    files = sound_files()
    path = tmp_path / 'random_linear-0.0.1.tar.zst'
    path.write_bytes(pack(files, 'random_linear-0.0.1'))
    bundle = load_bundle(path, HAND)
    assert dict(bundle.files) == files
    assert bundle.fingerprint == bundle_of(files).fingerprint
    assert bundle.policy().backend.faithful
    write_folder(bundle.files, tmp_path / 'unpacked')
    assert read_contents(tmp_path / 'unpacked') == files
    with pytest.raises(BundleError, match='exists'):
        write_folder(bundle.files, tmp_path / 'unpacked')


def test_packing_is_reproducible():
    files = sound_files()
    assert pack(files, 'x') == pack(dict(reversed(files.items())), 'x')


@pytest.mark.parametrize(('members', 'message'), [
    ([special(tarfile.SYMTYPE)], 'link or special'),
    ([special(tarfile.LNKTYPE)], 'link or special'),
    ([special(tarfile.CHRTYPE)], 'link or special'),
    ([special(tarfile.FIFOTYPE)], 'link or special'),
    ([special(tarfile.GNUTYPE_SPARSE)], 'link or special|not a readable'),
    ([('/etc/x.md', b'')], 'one folder'),
    ([('../x.md', b'')], 'one folder'),
    ([('x/../../y.md', b'')], 'is no name'),
    ([('a/b/c.md', b'')], 'is no name'),
    ([('x.md', b''), ('x.md', b'')], 'twice'),
    ([('x.py', b'')], 'does not belong'),
    ([('x\x1b[2J.md', b'')], 'is no name'),
    ([('n' * 300 + '.md', b'')], 'is no name'),
    ([(f'{k}.md', b'') for k in range(65)], '65 files'),
    ([(f'{k}.md', b'') for k in range(200)], 'more than 128'),
    ([], '0 files'),
], ids=lambda v: '' if isinstance(v, list) else v)
def test_members_that_may_not_be_there_are_refused(members, message):
    with pytest.raises(BundleError, match=message) as error:
        parse_archive(made(*members), 'x.tar.zst')
    assert str(error.value).isprintable()


def test_two_folders_are_refused():
    with pytest.raises(BundleError, match='one folder'):
        parse_archive(made(('a/x.md', b''), ('b/y.md', b''), root=''), 'x.tar.zst')


@pytest.mark.parametrize('data', [b'', b'no zstd', made(('x.md', b'abc'))[:-9], made(('x.md', b''), compressed=False),
                                  zstandard.ZstdCompressor().compress(b'no tar' * 500)])
def test_damaged_archives_are_refused(data):
    with pytest.raises(BundleError, match=r'readable|files'):
        parse_archive(data, 'x.tar.zst')


def test_every_cut_of_an_archive_is_refused():
    data = pack(sound_files(), 'b')
    for length in range(0, len(data) - 1, len(data) // 40):
        with pytest.raises(BundleError):
            bundle_of(parse_archive(data[:length], 'x.tar.zst'))


def test_a_bomb_is_noticed_at_the_limit_and_not_in_memory(monkeypatch):
    limit = 48 * MIB
    monkeypatch.setattr(archive, 'MAX_BUNDLE_BYTES', limit)
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    piece = bytes(8 * 1024 * 1024)
    bomb = b''.join(compressor.compress(piece) for _ in range(64)) + compressor.flush()  # 512 MiB in some kB
    bomb *= 40  # and forty of them, one after the other: 20 GiB
    assert len(bomb) < 4 * 1024 * 1024
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(BundleError, match='unpacks to more than'):
        parse_archive(bomb, 'bomb.tar.zst')
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 3 * limit
    assert time.perf_counter() - begin < 30


def test_an_archive_too_large_to_be_one_is_not_read(tmp_path):
    path = tmp_path / 'x.tar.zst'
    with path.open('wb') as file:
        file.truncate(2 * 1024 ** 3)
    with pytest.raises(BundleError, match='not read'):
        load_bundle(path, HAND)


def test_names_that_lead_out_are_never_written(tmp_path):
    for name in ('../x.md', '/tmp/x.md', 'a/../../x.md'):
        with pytest.raises(BundleError, match='is no name'):
            write_folder({name: b'x'}, tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []
