"""Signatures: only what a trusted key signed passes where a signature is required, whatever was made again since."""

import base64
import stat

import pytest
from ai_bundles import bundle_of, changed, sound_files
from allegro_ai.bundle import check_contents
from allegro_ai.contents import SIGNATURE, SUMS
from allegro_ai.integrity import renewed
from allegro_ai.signing import (
    PublicKey,
    new_key,
    read_secret_key,
    read_trusted,
    settings,
    sign,
    trust_store,
    verify,
    write_key,
)
from allegro_description.errors import BundleError, ConfigError
from allegro_description.model import load_hand

pytest.importorskip('cryptography')

KEY = new_key('the lab')
OTHER = new_key('somebody')


def signed(files=None, key=KEY, comment='tested'):
    files = sound_files() if files is None else files
    return {**files, SIGNATURE: sign(files, key, comment)}


def load(files, *trusted, require=True):
    from pathlib import Path
    return check_contents(files, Path('b'), load_hand(), trusted=tuple(trusted), require_signature=require)


def test_a_signed_bundle_loads_and_says_who_signed_it():
    bundle = load(signed(), OTHER.public, KEY.public)
    assert bundle.signature.trusted
    assert 'the lab' in bundle.signature.text
    assert 'tested' in bundle.signature.text
    assert KEY.public.identifier in bundle.signature.text
    assert bundle.fingerprint == bundle_of(sound_files()).fingerprint


def test_a_missing_or_foreign_signature_is_refused_only_where_one_is_required():
    for files, message, said in ((sound_files(), 'is not signed', 'not signed'),
                                 (signed(key=OTHER), 'not trusted; trusted: .* the lab', 'not checked')):
        with pytest.raises(BundleError, match=message):
            load(files, KEY.public)
        verdict = load(files, KEY.public, require=False).signature
        assert not verdict.trusted
        assert said in verdict.text


def test_what_was_changed_after_signing_is_refused_although_all_hashes_fit():
    files = signed()
    forged = {**changed(lambda d: d['controller']['kp'].__setitem__(5, 3.3)), SIGNATURE: files[SIGNATURE]}
    assert bundle_of(forged).policy().backend.faithful, 'without a trust store it is a sound bundle'
    for require in (True, False):
        with pytest.raises(BundleError, match='altered after it was signed'):
            load(forged, KEY.public, require=require)


def test_one_byte_anywhere_in_a_signature_is_refused():
    files = signed()
    lines = files[SIGNATURE].decode().split('\n')
    for line in (1, 3):
        raw = base64.b64decode(lines[line])
        for at in range(0, len(raw), 7):
            damaged = bytearray(raw)
            damaged[at] ^= 1
            text = [*lines[:line], base64.b64encode(damaged).decode(), *lines[line + 1:]]
            with pytest.raises(BundleError):
                load({**files, SIGNATURE: '\n'.join(text).encode()}, KEY.public)
    with pytest.raises(BundleError, match='altered after'):
        load({**files, SIGNATURE: files[SIGNATURE].replace(b'tested', b'Tested')}, KEY.public)
    for text in (b'', b'\n' * 3, files[SIGNATURE] + b'more\n', b'x' * 100_000, files[SIGNATURE][:-20]):
        with pytest.raises(BundleError, match='no prehashed signature'):
            load({**files, SIGNATURE: text}, KEY.public, require=False)


def test_a_key_that_only_borrows_a_number_does_not_verify():
    thief = PublicKey(KEY.number, OTHER.public.point, 'thief')
    with pytest.raises(BundleError, match='does not fit'):
        load(signed(), thief)


def test_mending_hashes_drops_the_signature():
    assert SIGNATURE not in renewed(signed(), lambda document: '{}')


def test_keys_survive_the_disk_and_stay_private(tmp_path):
    path = tmp_path / 'keys' / 'lab'
    public = write_key(KEY, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret_key(path).seed == KEY.seed
    assert read_trusted(public) == (PublicKey(KEY.number, KEY.public.point, 'the lab'),)
    with pytest.raises(ConfigError, match='never overwritten'):
        write_key(OTHER, path)
    assert load(signed(key=read_secret_key(path)), *read_trusted(public)).signature.trusted


def test_secret_keys_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / 'key'
    write_key(KEY, path)
    blob = bytearray(base64.b64decode(path.read_text().split('\n')[1]))
    damaged, locked = bytearray(blob), bytearray(blob)
    damaged[70] ^= 1
    locked[2:4] = b'Sc'
    for data, message in ((damaged, 'damaged'), (locked, 'minisign -Sm'), (blob[:-1], 'no secret key')):
        path.write_text('untrusted comment: x\n' + base64.b64encode(data).decode() + '\n')
        with pytest.raises(ConfigError, match=message):
            read_secret_key(path)
    with pytest.raises(ConfigError, match='cannot be read'):
        read_secret_key(tmp_path / 'none')


def test_a_trust_store_lists_keys_and_nothing_else(tmp_path, monkeypatch):
    store = tmp_path / 'trusted_keys'
    store.write_text(f'# ours\n{KEY.public.text()} the lab\n\nuntrusted comment: theirs\n{OTHER.public.text()}\n')
    assert [(k.number, k.name) for k in read_trusted(store)] == [(KEY.number, 'the lab'), (OTHER.number, 'theirs')]
    monkeypatch.setenv('ALLEGRO_TRUSTED_KEYS', str(store))
    assert trust_store() == store
    assert len(settings(True, '')['trusted']) == 2
    store.write_text('RWnonsense\n')
    with pytest.raises(ConfigError, match='no public key'):
        settings(False, '')
    monkeypatch.setenv('ALLEGRO_TRUSTED_KEYS', str(tmp_path / 'none'))
    assert settings(False, '')['trusted'] == ()
    for require, path in ((True, ''), (False, str(tmp_path / 'none'))):
        with pytest.raises(ConfigError, match='no such trust store'):
            settings(require, path)


def test_without_cryptography_nothing_passes_that_must_be_signed(monkeypatch):
    import sys
    files = signed()
    monkeypatch.setitem(sys.modules, 'cryptography.hazmat.primitives.asymmetric', None)
    assert 'not checked' in verify(files, (KEY.public,), 'b').text
    with pytest.raises(ImportError, match=r'allegro_ai\[sign\]'):
        verify(files, (KEY.public,), 'b', require=True)


def test_a_signature_of_another_implementation_is_understood():
    """Made with py-minisign 0.21.1, an independent implementation of minisign's formats, over ``SUMS_OF_THEIRS``."""
    public = THEIR_KEY.split('\n')[1]
    blob = base64.b64decode(public)
    key = PublicKey(blob[2:10], blob[10:], 'theirs')
    assert THEIR_KEY.split('\n')[0].endswith(key.number.hex().upper()), 'it names keys the other way round'
    files = {SUMS: SUMS_OF_THEIRS, SIGNATURE: THEIR_SIGNATURE}
    assert verify(files, (key,), 'b', require=True).trusted
    with pytest.raises(BundleError, match='altered'):
        verify({**files, SUMS: SUMS_OF_THEIRS + b' '}, (key,), 'b', require=True)


SUMS_OF_THEIRS = b'0' * 64 + b'  policy.yaml\n'
THEIR_KEY = (
    'untrusted comment: minisign public key 7EEF6E13972BAAAD\n'
    'RWR+724TlyuqratHa4G94LuOujr9plqx22Dpxcb4uU2I9TCTvjCW+jCF\n'
)
THEIR_SIGNATURE = (
    b'untrusted comment: signature from minisign secret key\n'
    b'RUR+724TlyuqrQM4Z51X6zZBAnSOZqGhZRbNoynyL88EIyKo/llHJCq9EUETv9iq55oHAhxR3L4ikDa9PI2qidIqIispi92jrgA=\n'
    b'trusted comment: from elsewhere\n'
    b'S9sULdAH2sfCGApcbXNYu6xSj4QfJw+QJekXQ8hiv+KoL3s/HgLfkuZ2UZZVOKXJnbqfYH4Rq2Xa1U9xrywbAQ==\n'
)
