"""Ways to damage a bundle: bytes, files, fields of the contract, of the graph, of the arrays, archives, signatures.

Each kind is a function of a :class:`Victim` and a random generator that returns what a loader would find. Kinds with
*hashes made again* mend ``integrity.files``, ``SHA256SUMS`` and the graph's stamp afterwards, as somebody would who
wants the damage to go unnoticed.
"""

from __future__ import annotations

import copy
import io
import math
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import onnx
import yaml

from allegro_ai import integrity
from allegro_ai.archive import pack
from allegro_ai.contents import CONTRACT, GRAPH, SIGNATURE, SUMS, Contents
from allegro_ai.contract import METADATA
from allegro_ai.evidence.protobuf_fields import change_message
from allegro_ai.export import to_npz
from allegro_ai.untrusted import parse_arrays, parse_yaml

Files = dict[str, bytes]
_Dumper: Any = type('_Dumper', (getattr(yaml, 'CSafeDumper', yaml.SafeDumper),),
                    {'ignore_aliases': lambda self, data: True})
_WORDS: tuple[Any, ...] = ('', 'x', 'stop', 'mask', 'joints', 'thumb_tip', '0.1.0', '!!python/name:os.system', '\x00',
                           'é' * 9)
_NUMBERS: tuple[Any, ...] = (0, 1, -1, 2, 3, 17, 64, 1e-9, 1e9, 2 ** 31, 2 ** 63, 10 ** 40, math.nan, math.inf, 0.5)


@dataclass
class Victim:
    """A sound, signed bundle and what is needed to damage it quickly."""

    name: str
    files: Contents
    document: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, np.ndarray[Any, Any]]]
    archive: bytes

    @classmethod
    def of(cls, name: str, files: Contents) -> Victim:
        """Parse once."""
        arrays = {n: parse_arrays(files[n], n) for n in files if n.endswith('.npz')}
        return cls(name, files, parse_yaml(files[CONTRACT], CONTRACT), arrays, pack(files, name))


@dataclass(frozen=True)
class Mutant:
    """What a loader finds: files, or the bytes of an archive."""

    files: Files | None = None
    archive: bytes | None = None


def spoil(data: bytes, dice: Random) -> bytes:
    """Bytes flipped, overwritten, cut, inserted, repeated or moved; never unchanged."""
    out = bytearray(data)
    size, way = len(out), dice.randrange(8)
    at = dice.randrange(size + 1) if size else 0
    length = min(1 + int(dice.expovariate(1 / 16)), max(size - at, 1))
    if way in (0, 1) and size:
        for _ in range(1 if way == 0 else dice.randint(2, 8)):
            out[dice.randrange(size)] ^= 1 << dice.randrange(8)
    elif way == 2 and at < size:
        out[at:at + length] = dice.choice((bytes(length), b'\xff' * length, dice.randbytes(length)))
    elif way == 3:
        del out[at:]
    elif way == 4 and at < size:
        del out[at:at + length]
    elif way == 5:
        out[at:at] = dice.choice((dice.randbytes(length), bytes(length), b'9' * length, b'[' * 2000))
    elif way == 6:
        out[at:at] = out[at:at + length]
    else:
        piece = out[at:at + length]
        del out[at:at + length]
        to = dice.randrange(len(out) + 1)
        out[to:to] = piece
    return bytes(out) if bytes(out) != data else data + b'\n'


def any_bytes(victim: Victim, dice: Random) -> Mutant:
    """Damage in one file, as a bad disk or a careless editor would do."""
    files = dict(victim.files)
    name = dice.choice(sorted(files))
    files[name] = spoil(files[name], dice)
    return Mutant(files)


def whole_files(victim: Victim, dice: Random) -> Mutant:
    """Files exchanged, missing, emptied, added or renamed."""
    files = dict(victim.files)
    one, two = dice.sample(sorted(files), 2)
    way = dice.randrange(5)
    if way == 0:
        files[one], files[two] = files[two], files[one]
    elif way == 1:
        del files[one]
    elif way == 2:
        files[one] = b''
    elif way == 3:
        files[dice.choice(('extra.json', 'eval/more.json', 'policy2.onnx', 'notes.md'))] = files[one]
    else:
        files[dice.choice(('policy_.yaml', 'golden2.npz', one.upper() + '.md'))] = files.pop(one)
    return Mutant(files)


def stamped(graph: bytes, document: Mapping[str, Any]) -> bytes:
    """The graph, made to belong to another contract; unchanged if either does not allow it."""
    try:
        proto = onnx.load_model_from_string(graph)
        values = {METADATA['contract']: integrity.contract_hash(document),
                  METADATA['name']: document['bundle']['name'], METADATA['version']: document['bundle']['version'],
                  METADATA['schema']: str(document['schema_version'])}
        kept = {p.key: p.value for p in proto.metadata_props}
        onnx.helper.set_model_props(proto, {**kept, **values})
        return bytes(proto.SerializeToString())
    except Exception:  # the damage is such that nobody could stamp it
        return graph


def mended(files: Files, document: Any = None) -> Mutant:
    """All hashes made again; ``document``: the contract to write, else the text that is there is kept if it parses."""
    files = {name: data for name, data in files.items() if name != SUMS}
    try:
        if document is None:
            document = parse_yaml(files[CONTRACT], CONTRACT)
        else:
            files[GRAPH] = stamped(files[GRAPH], document)
        hashes = {n: integrity.sha256(d) for n, d in sorted(files.items()) if n not in (CONTRACT, SIGNATURE)}
        if isinstance(document.get('integrity'), dict) and document['integrity'].get('files') is not None:
            document = {**document, 'integrity': {**document['integrity'], 'files': hashes}}
        files[CONTRACT] = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode()
    except Exception:  # a contract that nobody can read; then only SHA256SUMS is made again
        files.setdefault(CONTRACT, b'')
    return Mutant({**files, SUMS: integrity.sums(files)})


def rehashed(victim: Victim, name: str, data: bytes) -> Mutant:
    """One file other than ``policy.yaml`` changed; in the text of ``policy.yaml`` its hash and nothing else."""
    old, new = victim.document['integrity']['files'][name], integrity.sha256(data)
    contract = victim.files[CONTRACT].replace(old.encode(), new.encode())
    files = {**victim.files, name: data, CONTRACT: contract}
    return Mutant({**files, SUMS: integrity.sums(files)})


def bytes_mended(victim: Victim, dice: Random) -> Mutant:
    """Damage in one file, then hashes made again."""
    name = dice.choice([n for n in sorted(victim.files) if n not in (SUMS, SIGNATURE)])
    data = spoil(victim.files[name], dice)
    return mended({**victim.files, name: data}) if name == CONTRACT else rehashed(victim, name, data)


def contract_mended(victim: Victim, dice: Random) -> Mutant:
    """One to three fields of ``policy.yaml`` changed, hashes and stamp made again."""
    document = copy.deepcopy(dict(victim.document))
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        _change_field(document, dice)
    return mended(dict(victim.files), document)


def _change_field(document: Any, dice: Random) -> None:
    """Walk to a random place and change it."""
    node, key = document, dice.choice(sorted(document)) if document else ''
    while key != '' and isinstance(node[key], (dict, list)) and node[key] and dice.random() < 0.9:
        node = node[key]
        key = dice.choice(sorted(node)) if isinstance(node, dict) else dice.randrange(len(node))
    if key == '':
        return
    value, way = node[key], dice.randrange(8)
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, list):
        node.insert(dice.randrange(len(node) + 1), copy.deepcopy(value))
    elif way == 1:
        node[dice.choice(('extra', 'gain', str(key) + '_'))] = copy.deepcopy(value)
    elif way == 2 and isinstance(node, list):
        dice.shuffle(node)
    elif way == 3:
        node[key] = dice.choice((None, True, [], {}, [value], dice.choice(_WORDS), dice.choice(_NUMBERS)))
    elif isinstance(value, bool):
        node[key] = not value
    elif isinstance(value, (int, float)):
        scaled = value * dice.choice((0.5, 0.9, 1.001, 1.1, 2, 10))
        node[key] = dice.choice((dice.choice(_NUMBERS), -value, scaled, value + 1))
    elif isinstance(value, str):
        node[key] = dice.choice((dice.choice(_WORDS), value + 'x', value[:-1], value.upper()))
    else:
        node[key] = dice.choice((None, dice.choice(_WORDS), dice.choice(_NUMBERS)))


def graph_mended(victim: Victim, dice: Random) -> Mutant:
    """Fields of the ONNX protobuf changed, hashes made again."""
    proto = onnx.load_model_from_string(victim.files[GRAPH])
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        if dice.random() < 0.35:
            _change_weight(proto, dice)
        else:
            change_message(proto, dice)
    return rehashed(victim, GRAPH, bytes(proto.SerializeToString()))


def _change_weight(proto: onnx.ModelProto, dice: Random) -> None:
    tensors = [t for t in proto.graph.initializer if t.raw_data]
    if not tensors:
        return
    tensor = dice.choice(tensors)
    try:
        values = onnx.numpy_helper.to_array(tensor).copy().reshape(-1)
    except (KeyError, TypeError, ValueError):  # an earlier change of this mutant has broken its type or shape
        tensor.raw_data = spoil(tensor.raw_data, dice)
        return
    at = dice.randrange(values.size) if values.size else None
    if at is None:
        return
    if values.dtype.kind == 'f':
        old = values[at]
        values[at] = dice.choice((0.0, -old, old * 1.5, old + 1e-7, old + dice.gauss(0, 0.1), math.nan, math.inf, 1e30,
                                  np.nextafter(old, values.dtype.type(9))))
    elif values.dtype.kind in 'iu':
        values[at] = dice.choice((0, 1, 2, 7, 2 ** 31 - 1)) if values.dtype.itemsize >= 4 else 1
    tensor.raw_data = values.tobytes()


def arrays_mended(victim: Victim, dice: Random) -> Mutant:
    """Values, types, shapes or names in ``golden.npz`` or ``ood.npz`` changed, hashes made again."""
    name = dice.choice(sorted(victim.arrays))
    arrays = {n: a.copy() for n, a in victim.arrays[name].items()}
    key = dice.choice(sorted(arrays))
    array, way = arrays[key], dice.randrange(9)
    if way == 0:
        del arrays[key]
    elif way == 1:
        arrays[dice.choice(('extra', 'input/object', 'output/more', key + '_'))] = array
    elif way == 2:
        arrays[key] = array[:dice.randrange(len(array) + 1)] if array.ndim else array
    elif way == 3:
        arrays[key] = array.reshape(dice.choice(((1, *array.shape), (-1,), array.shape[::-1])))
    elif way == 4:
        arrays[key] = array.astype(dice.choice((np.float64, np.float16, np.int32, np.complex64, np.bool_))) \
            if array.dtype.kind != 'U' else np.array(['joint_position', dice.choice(_WORDS[:6])])
    elif array.dtype.kind == 'f' and array.size:
        flat = arrays[key].reshape(-1)
        at = dice.randrange(flat.size)
        with np.errstate(over='ignore'):
            flat[at] = dice.choice((math.nan, math.inf, 0.0, -flat[at], flat[at] + 1e-6, flat[at] * 1.5, 1e38))
    else:
        arrays[key] = array[::-1]
    data = to_npz(arrays)
    if dice.random() < 0.1:
        data = _as_objects(arrays)
    return rehashed(victim, name, data)


def _as_objects(arrays: Mapping[str, Any]) -> bytes:
    """An archive with a pickle in it; numpy writes it willingly."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **{**arrays, 'output': np.array([{'a': 1}, None], dtype=object)})
    return buffer.getvalue()


def archive_bytes(victim: Victim, dice: Random) -> Mutant:
    """Damage in the bytes of the ``.tar.zst``."""
    return Mutant(archive=spoil(victim.archive, dice))


def archive_members(victim: Victim, dice: Random) -> Mutant:
    """An archive made on purpose: links, paths that lead out, devices, members twice, sparse files, damaged headers."""
    import zstandard
    buffer = io.BytesIO()
    root, names = victim.name, sorted(victim.files)
    bad = tarfile.TarInfo(f'{root}/{dice.choice(names)}')
    way = dice.randrange(7)
    if way < 3:
        bad.type = dice.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.BLKTYPE))
        bad.linkname = dice.choice(('../../etc/passwd', '/etc/passwd', f'{root}/{CONTRACT}'))
    elif way == 3:
        bad.name = dice.choice((
            '/tmp/x.md', '../x.md', f'{root}/../../x.md', f'{root}/a/b/c.md', 'x.md', f'{root}/x.py',
            f'other/{CONTRACT}', f'{root}//x.md', f'{root}/\x01.md', f'{root}/' + 'n' * 180 + '.md'))
    with tarfile.open(fileobj=buffer, mode='w', format=dice.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as tar:
        for name in names if way != 5 else names[1:]:
            member = tarfile.TarInfo(f'{root}/{name}')
            member.size = len(victim.files[name])
            tar.addfile(member, io.BytesIO(victim.files[name]))
        if way != 5:
            tar.addfile(bad, io.BytesIO())
    raw = buffer.getvalue()
    if way == 6:
        block = 512 * dice.randrange(len(raw) // 512)
        raw = raw[:block] + spoil(raw[block:block + 512], dice)[:512].ljust(512, b'\0') + raw[block + 512:]
    return Mutant(archive=zstandard.ZstdCompressor(level=1).compress(raw))


def signature(victim: Victim, dice: Random) -> Mutant:
    """The signature damaged or taken from nowhere; nothing else."""
    files = dict(victim.files)
    lines = files[SIGNATURE].split(b'\n')
    if dice.random() < 0.5:
        at = dice.choice((1, 2, 3))
        lines[at] = spoil(lines[at], dice)
        files[SIGNATURE] = b'\n'.join(lines)
    else:
        files[SIGNATURE] = spoil(files[SIGNATURE], dice)
    return Mutant(files)


@dataclass(frozen=True)
class Kind:
    """A way to damage: its name, what makes the mutants, whether hashes are made again, how often it is tried."""

    name: str
    make: Callable[[Victim, Random], Mutant]
    mended: bool
    share: float


KINDS = (
    Kind('bytes of any file', any_bytes, False, 0.22),
    Kind('whole files', whole_files, False, 0.06),
    Kind('signature', signature, False, 0.04),
    Kind('archive: bytes', archive_bytes, False, 0.12),
    Kind('archive: members', archive_members, False, 0.06),
    Kind('bytes of any file, hashes made again', bytes_mended, True, 0.15),
    Kind('fields of policy.yaml, hashes made again', contract_mended, True, 0.15),
    Kind('fields of policy.onnx, hashes made again', graph_mended, True, 0.12),
    Kind('arrays, hashes made again', arrays_mended, True, 0.08),
)
