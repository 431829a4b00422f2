"""Makes a pack: the suite's own measuring code, a bundle, its observations and a plan, each file with its hash."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from allegro_ai.backends import BACKENDS, split_name
from allegro_ai.bundle import Bundle
from allegro_ai.contents import CONTRACT
from allegro_ai.contract import golden_tolerance
from allegro_ai.untrusted import parse_yaml
from allegro_description.description_file import LOADER
from allegro_description.errors import BundleError, ConfigError
from allegro_description.share import share_dir

from allegro_bench.exporting import stand_in_graph, stand_in_onnx, stand_in_precision, stand_in_yaml, start
from allegro_bench.exporting.closure import SUITE, Closure, closure
from allegro_bench.exporting.machine import BUNDLE, OBSERVATIONS, PLAN, RECORDED
from allegro_bench.exporting.readme import readme
from allegro_bench.meters import METERS
from allegro_bench.running.engines import NULL
from allegro_bench.running.profiles import PROFILES, Profile
from allegro_bench.running.setup import tool_version
from allegro_bench.running.steps import measurements, observations
from allegro_bench.running.workload import SYNTHETIC, Workload, section

ROOTS = ('allegro_bench.exporting.machine', 'allegro_bench.running.child')
"""What runs on the machine: the run itself, and its measuring processes."""
ALWAYS = (NULL, 'numpy', 'torch')
"""Backends whose modules every pack holds: the floor, and what opens and closes a run."""
METER_NAMES = ('powercap', 'perf', 'nvml', 'ina3221', 'hwmon', 'power_supply', 'external', 'csv', 'none')
WITHOUT = {
    'allegro_ai.graph': 'its place takes the report of the packed graph',
    'allegro_ai.archive': 'the bundle is packed as a folder',
    'allegro_ai.backends.precision': 'its place takes what was converted to 8 bit already',
    'allegro_ai.workloads.networks': 'a network of the ladder is packed as its bundle',
    'allegro_ai.workloads.ladder': 'a network of the ladder is packed as its bundle',
    'allegro_bench.bags.recording': 'recorded observations are packed as arrays',
    'allegro_bench.results.page': 'reports are made at home',
}
"""Modules that stay at home, and why."""
DATA: Mapping[str, Sequence[str]] = {
    'allegro_description': ('package.xml',),
    'allegro_ai': ('package.xml', 'policies/policy.schema.json'),
    'allegro_bench': ('package.xml', 'carbon/grid_intensity.csv'),
}
ARCHIVE = '.tar.gz'


@dataclass(frozen=True)
class Order:
    """What a pack shall hold.

    Attributes:
        chosen, bundle: the workload.
        policy: how it was named; a rung of the ladder keeps its name.
        engines: backends that are measured where they are installed.
        profile: the default length.
    """

    chosen: Workload
    bundle: Bundle
    policy: str
    engines: Sequence[str]
    profile: Profile = PROFILES['quick']


def code(engines: Sequence[str]) -> Closure:
    """Modules of a pack."""
    plugins = [BACKENDS.module_of(name) for name in dict.fromkeys((*ALWAYS, *(split_name(e)[0] for e in engines)))]
    meters = [METERS.module_of(name) for name in METER_NAMES]
    return closure([*ROOTS, *plugins, *meters], WITHOUT)


def files(order: Order) -> dict[str, bytes]:
    """Every file of a pack, by path; the same bytes for the same order.

    Raises:
        BundleError: something in the bundle cannot be written as JSON, or it records no tolerance for an engine.
        ConfigError: there is no such engine.
    """
    for name in order.engines:
        plugin, precision = split_name(name)
        if plugin not in BACKENDS.names():
            raise ConfigError(f'backend {name!r} cannot be packed; allowed: {", ".join(BACKENDS.names())}')
        golden_tolerance(order.bundle.contract, plugin, precision)  # without one it would be refused there
    found = {'run.py': _source(start), 'README.txt': readme(order).encode(), **_code(order), **_stand_ins(order)}
    found |= {f'{BUNDLE}/{name}': raw for name, raw in order.bundle.files.items()}
    found |= _observations(order)
    found[PLAN] = _json(_plan(order))
    licence = Path(order.bundle.path) / 'LICENSE'
    if licence.is_file():
        found.setdefault('LICENSE', licence.read_bytes())
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in sorted(found.items())}
    found[start.MANIFEST] = _json({
        'format': start.FORMAT, 'version': 1, 'tool_version': tool_version(),
        'closed': [start.CODE, start.STAND_INS, BUNDLE], 'files': hashes})
    return dict(sorted(found.items()))


def write(made: Mapping[str, bytes], output: Path) -> None:
    """Write a pack as a folder, or, if ``output`` ends so, as ``.tar.gz``.

    Raises:
        ConfigError: there is something already.
    """
    if output.exists():
        raise ConfigError(f'{output} exists already; choose another --output')
    if output.name.endswith(ARCHIVE):
        output.parent.mkdir(parents=True, exist_ok=True)
        top = output.name.removesuffix(ARCHIVE)
        with output.open('wb') as file, gzip.GzipFile('', 'wb', fileobj=file, mtime=0) as zipped, \
                tarfile.open(fileobj=zipped, mode='w') as archive:
            for name, raw in made.items():
                entry = tarfile.TarInfo(f'{top}/{name}')
                entry.size, entry.mode = len(raw), 0o644
                archive.addfile(entry, io.BytesIO(raw))
        return
    try:
        for name, raw in made.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
    except OSError:
        shutil.rmtree(output, ignore_errors=True)
        raise


def _source(module: Any) -> bytes:
    return Path(module.__file__).read_bytes()


def _json(value: Any) -> bytes:
    # Orders are kept: those of inputs and joints mean something.
    return (json.dumps(value, indent=1, ensure_ascii=False) + '\n').encode()


def _code(order: Order) -> dict[str, bytes]:
    found = {}
    for name, path in code(order.engines).modules.items():
        top = name.partition('.')[0]
        inside = name.replace('.', '/') + ('/__init__.py' if path.name == '__init__.py' else '.py')
        found[f'{start.CODE}/{top}/{inside}'] = path.read_bytes()
    for package in SUITE:
        for name in DATA[package]:
            found[f'{start.CODE}/{package}/{name}'] = (share_dir(package) / name).read_bytes()
    for path in _hands(order):
        found[f'{start.CODE}/allegro_description/hands/{path.name}'] = path.read_bytes()
    version = tool_version()
    if version is not None:
        # So that a result names the version that measured, as it does at home.
        about = f'Metadata-Version: 2.1\nName: allegro_bench\nVersion: {version}\n'
        found[f'{start.CODE}/allegro_bench/allegro_bench-{version}.dist-info/METADATA'] = about.encode()
    report = asdict(order.bundle.report)
    found[f'{start.CODE}/allegro_ai/allegro_ai/graph.py'] = _source(stand_in_graph)
    found[f'{start.CODE}/allegro_ai/allegro_ai/{stand_in_graph.REPORT}'] = _json(
        {'sha256': hashlib.sha256(order.bundle.graph).hexdigest(), **report})
    backends = f'{start.CODE}/allegro_ai/allegro_ai/backends'
    found[f'{backends}/precision.py'] = _source(stand_in_precision)
    for precision in sorted({split_name(name)[1] for name in order.engines}):
        if precision.startswith('int8'):
            from allegro_ai.backends.precision import graph_of
            found[f'{backends}/{precision}.onnx'] = graph_of(order.bundle, precision)
    return found


def _hands(order: Order) -> list[Path]:
    """The description of the hand and those it is based on."""
    folder, name = share_dir('allegro_description') / 'hands', f'{order.chosen.model}_{order.chosen.side}'
    found = []
    while name:
        found.append(folder / f'{name}.yaml')
        name = _parsed(found[-1].read_bytes(), found[-1].name).get('base')
    return found


def _parsed(raw: bytes, where: str) -> Any:
    import yaml

    value = yaml.load(raw, LOADER)
    if json.loads(json.dumps(value)) != value:
        raise BundleError(f'{where} holds values that JSON cannot carry, such as dates; write them as text')
    return value


def _stand_ins(order: Order) -> dict[str, bytes]:
    texts = [(path.read_bytes(), path.name) for path in _hands(order)]
    documents = {hashlib.sha256(raw).hexdigest(): _parsed(raw, where) for raw, where in texts}
    contract = order.bundle.files[CONTRACT]
    documents[hashlib.sha256(contract).hexdigest()] = parse_yaml(contract, CONTRACT)
    return {f'{start.STAND_INS}/yaml/yaml.py': _source(stand_in_yaml),
            f'{start.STAND_INS}/yaml/{stand_in_yaml.DOCUMENTS}': _json(documents),
            f'{start.STAND_INS}/onnx/onnx.py': _source(stand_in_onnx)}


def _observations(order: Order) -> dict[str, bytes]:
    """The observations of every seed, so that they are the same numbers on every machine and version of numpy."""
    bundle, chosen = order.bundle, order.chosen
    policy = bundle.unchecked(NULL)
    synthetic = Workload.of(chosen.as_dict() | {'source': SYNTHETIC, 'ready': ''})
    found = {}
    for seed in chosen.seeds:
        arrays = {f'input/{name}': rows for name, rows in observations(bundle, policy, synthetic, seed).items()}
        if chosen.whole:
            arrays |= dict(zip(('position', 'pressure', 'valid'), measurements(bundle, synthetic, seed), strict=True))
        found[f'{OBSERVATIONS}/{seed}.npz'] = _npz(arrays)
    if chosen.source != SYNTHETIC:
        found[f'{OBSERVATIONS}/{RECORDED}'] = Path(chosen.source).read_bytes()
    return found


def _npz(arrays: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _plan(order: Order) -> dict[str, Any]:
    chosen = order.chosen
    return {
        'name': chosen.name, 'policy': order.policy, 'model': chosen.model, 'side': chosen.side,
        'rate_hz': chosen.rate_hz, 'deadline_ms': chosen.deadline_ms, 'on_overrun': chosen.on_overrun,
        'bare': not chosen.whole, 'profile': order.profile.as_dict(), 'engines': list(order.engines),
        'source': SYNTHETIC if chosen.source == SYNTHETIC else f'{OBSERVATIONS}/{RECORDED}',
        'workload_hash': section(chosen, order.bundle)['hash'],
    }
