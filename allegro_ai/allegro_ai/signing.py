"""Signatures of bundles: Ed25519 over ``SHA256SUMS``, in the file formats of minisign.

``SHA256SUMS.minisig`` lies in the bundle; since ``SHA256SUMS`` holds the hash of every file, it signs everything.
The formats are those that minisign publishes (prehashed signatures, algorithm ``ED``), so its own program does as
well: ``minisign -Vm SHA256SUMS -p key.pub`` verifies what ``allegro-ai bundle sign`` made, and a bundle signed with
``minisign -Sm SHA256SUMS`` is accepted here. Of secret keys only those without a password are read (``minisign -G
-W``, or ``allegro-ai bundle key``); with a password, sign with minisign itself.

A trust store is a text file of public keys, one a line, with a name behind it; a ``.pub`` file of minisign is one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allegro_description.errors import BundleError, ConfigError, MissingDependency

from allegro_ai.contents import SIGNATURE, SUMS, Contents, file_of

_KEY, _PREHASHED, _CHECKSUM = b'Ed', b'ED', b'B2'
_NO_PASSWORD = b'\x00\x00'
_PUBLIC, _SECRET, _SIGNED = 2 + 8 + 32, 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32, 2 + 8 + 64
_MAX_BYTES = 64 * 1024
_UNTRUSTED, _TRUSTED = 'untrusted comment: ', 'trusted comment: '


@dataclass(frozen=True)
class PublicKey:
    """Who may sign: eight bytes that name the key, the key itself, and a person's name for it."""

    number: bytes
    point: bytes
    name: str = ''

    @property
    def identifier(self) -> str:
        """The key's number as minisign prints it."""
        return self.number[::-1].hex().upper()

    def text(self) -> str:
        """As in a ``.pub`` file or trust store."""
        return base64.b64encode(_KEY + self.number + self.point).decode()


@dataclass(frozen=True)
class SecretKey:
    """What signs. Never part of a bundle or of a repository."""

    number: bytes
    seed: bytes
    public: PublicKey

    def text(self) -> str:
        """As in a key file of minisign, without a password."""
        pair = self.seed + self.public.point
        checksum = hashlib.blake2b(_KEY + self.number + pair, digest_size=32).digest()
        blob = _KEY + _NO_PASSWORD + _CHECKSUM + bytes(32 + 8 + 8) + self.number + pair + checksum
        return f'{_UNTRUSTED}minisign secret key {self.public.identifier}\n{base64.b64encode(blob).decode()}\n'


@dataclass(frozen=True)
class Verdict:
    """What is known about who made a bundle. ``trusted`` only if a key of the trust store signed exactly this."""

    trusted: bool
    text: str


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingDependency(f'signatures need the package cryptography ({error}). Install it with: '
                                "pip install 'allegro_ai[sign]'") from error
    return ed25519


def new_key(name: str = '') -> SecretKey:
    """A new random key.

    Raises:
        MissingDependency: ``cryptography`` is absent.
    """
    return _secret(secrets.token_bytes(8), secrets.token_bytes(32), name)


def _secret(number: bytes, seed: bytes, name: str = '') -> SecretKey:
    point = _ed25519().Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SecretKey(number, seed, PublicKey(number, point, name))


def read_secret_key(path: Path) -> SecretKey:
    """Read a secret key file.

    Raises:
        ConfigError: missing, damaged, or protected by a password.
    """
    lines = _small(path).splitlines()
    blob = _decoded(lines[1]) if len(lines) >= 2 else b''
    if len(blob) != _SECRET or blob[:2] != _KEY or blob[4:6] != _CHECKSUM:
        raise ConfigError(f'{path}: no secret key of minisign; make one with `allegro-ai bundle key`')
    if blob[2:4] != _NO_PASSWORD:
        raise ConfigError(f'{path}: the key is protected by a password, which only minisign reads; sign with '
                          f'`minisign -Sm {SUMS} -s {path}` inside the bundle, or use a key made with `minisign -G -W`')
    number, pair, checksum = blob[54:62], blob[62:126], blob[126:]
    key = _secret(number, pair[:32])
    right = hashlib.blake2b(_KEY + number + pair, digest_size=32).digest()
    if checksum != right or key.public.point != pair[32:]:
        raise ConfigError(f'{path}: the secret key is damaged (its checksum differs); restore it from a copy')
    return key


def write_key(key: SecretKey, path: Path) -> Path:
    """Write ``path`` (readable by its owner only) and ``path`` with ``.pub`` behind it, which is returned.

    Raises:
        ConfigError: one of them exists.
    """
    public = path.with_name(path.name + '.pub')
    if path.exists() or public.exists():
        raise ConfigError(f'{path} or {public} exists; a key is never overwritten, choose another name')
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w', encoding='utf-8') as file:
        file.write(key.text())
    public.write_text(f'{_UNTRUSTED}{key.public.name or "minisign public key " + key.public.identifier}\n'
                      f'{key.public.text()}\n', encoding='utf-8')
    return public


def trust_store(path: str | os.PathLike[str] = '') -> Path:
    """Where the public keys lie that are trusted: ``path``, or ``$ALLEGRO_TRUSTED_KEYS``, or in the user's settings."""
    settings = Path(os.environ.get('XDG_CONFIG_HOME') or Path.home() / '.config')
    return Path(path or os.environ.get('ALLEGRO_TRUSTED_KEYS') or settings / 'allegro' / 'trusted_keys').expanduser()


def read_trusted(path: Path, must_exist: bool = False) -> tuple[PublicKey, ...]:
    """All keys of a trust store; none when the file is absent.

    Raises:
        ConfigError: a line that is no public key, or the file is absent and ``must_exist``.
    """
    if not path.exists() and not must_exist:
        return ()
    if not path.is_file():
        raise ConfigError(f'{path}: no such trust store; write the public keys that you trust into it, one a line, or '
                          'name another file')
    keys, name = [], ''
    for line in _small(path).splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        if line.startswith(_UNTRUSTED):
            name = line.removeprefix(_UNTRUSTED).strip()
            continue
        word, _, behind = line.strip().partition(' ')
        blob = _decoded(word)
        if len(blob) != _PUBLIC or blob[:2] != _KEY:
            raise ConfigError(f'{path}: {line[:80]!r} is no public key; allowed: the line of a minisign .pub file, '
                              'with a name behind it, and lines that begin with #')
        keys.append(PublicKey(blob[2:10], blob[10:], behind.strip() or name))
        name = ''
    return tuple(keys)


def sign(contents: Contents, key: SecretKey, comment: str) -> bytes:
    """Content of ``SHA256SUMS.minisig``.

    Args:
        contents: files of a checked bundle.
        key: what signs.
        comment: one line that is signed too, e.g. name, version and date.
    """
    private = _ed25519().Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = private.sign(_digest(contents[SUMS]))
    overall = private.sign(signature + comment.encode())
    first = base64.b64encode(_PREHASHED + key.number + signature).decode()
    return (f'{_UNTRUSTED}signature by key {key.public.identifier}\n{first}\n'
            f'{_TRUSTED}{comment}\n{base64.b64encode(overall).decode()}\n').encode()


def verify(contents: Contents, trusted: tuple[PublicKey, ...], where: str, *, require: bool = False) -> Verdict:
    """Who signed these files?

    Args:
        contents: the files; their hashes must have been compared with ``SHA256SUMS``.
        trusted: keys of the trust store.
        where: the bundle, for messages.
        require: refuse what is not signed by one of ``trusted``.

    Raises:
        BundleError: a damaged signature, one that does not fit (something was altered after signing), or, with
            ``require``, none by a trusted key.
        MissingDependency: it cannot be verified without ``cryptography``, and ``require``.
    """
    if SIGNATURE not in contents:
        if require:
            raise BundleError(f'{where}: is not signed, and a signature is required. Sign it with `allegro-ai bundle '
                              'sign`, or get the bundle from who signs it')
        return Verdict(False, 'not signed')
    number, signature, comment, overall = _parse(contents[SIGNATURE], where)
    identifier = PublicKey(number, b'').identifier
    key = next((key for key in trusted if key.number == number), None)
    if key is None:
        if require:
            known = ', '.join(f'{k.identifier} {k.name}'.strip() for k in trusted) or 'none'
            raise BundleError(f'{where}: is signed by key {identifier}, which is not trusted; trusted: {known}. Add '
                              'the public key to the trust store if you know whose it is')
        return Verdict(False, f'signed by key {identifier}, which is not in the trust store: not checked')
    try:
        ed25519 = _ed25519()
    except MissingDependency as error:
        if require:
            raise
        return Verdict(False, f'signed by key {identifier}: not checked, {error}')
    from cryptography.exceptions import InvalidSignature
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(key.point)
        public.verify(signature, _digest(file_of(contents, SUMS, where)))
        public.verify(overall, signature + comment)
    except (InvalidSignature, ValueError) as error:
        raise BundleError(f'{where}: the signature of key {identifier} does not fit: the bundle was altered after it '
                          'was signed. Get it again from who signed it') from error
    said = comment.decode('utf-8', errors='replace')
    return Verdict(True, f'signed by {key.name or "a trusted key"} ({identifier}): {said}')


def _digest(sums: bytes) -> bytes:
    return hashlib.blake2b(sums).digest()


def _parse(raw: bytes, where: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Key number, signature, trusted comment, overall signature."""
    lines = raw.split(b'\n')
    if len(raw) <= _MAX_BYTES and len(lines) in (4, 5) and lines[4:] in ([], [b'']):
        first, overall = _decoded(lines[1]), _decoded(lines[3])
        if len(first) == _SIGNED and first[:2] == _PREHASHED and len(overall) == 64 \
                and lines[0].startswith(_UNTRUSTED.encode()) and lines[2].startswith(_TRUSTED.encode()):
            return first[2:10], first[10:], lines[2].removeprefix(_TRUSTED.encode()), overall
    raise BundleError(f'{where}: {SIGNATURE} is no prehashed signature of minisign; sign the bundle again')


def _decoded(text: str | bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b''


def _small(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f'{path}: larger than {_MAX_BYTES} bytes, so it holds no keys')
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path}: cannot be read: {error}') from error


def settings(require: bool, path: str) -> Mapping[str, Any]:
    """Arguments for :func:`allegro_ai.bundle.load_bundle` from what a user set: ``require_signature`` and a file.

    Raises:
        ConfigError: the file is absent although it was named, or although a signature is required.
    """
    store = trust_store(path)
    return {'trusted': read_trusted(store, must_exist=require or bool(path)), 'require_signature': require}
