"""The result file: built from a session, written beside its raw arrays, validated, and computed again to check it.

``allegro_bench.result.live`` version 1 is the part of the full result schema that a profiler can know which only
listens: SI units in field names, unknown is null and never 0, every percentile with its n and interval.
"""

from __future__ import annotations

import dataclasses
import json
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.share import share_dir

from allegro_bench import environment, episodes, summary
from allegro_bench.latency import NEVER, Ticks
from allegro_bench.meters.meter import headline
from allegro_bench.record import SERIES_FILE, TICKS_FILE, SeriesRecord, TickRecord, load_series, load_ticks, sha256
from allegro_bench.session import Session
from allegro_bench.validity import check

SCHEMA = {'name': 'allegro_bench.result.live', 'version': 1}
RESULT_FILE = 'result.json'
DRIVER_KEYS = ('on_time', 'jitter', 'overrun', 'turnaround', 'command_age', 'lost')
POLICY_KEYS = ('cpu_ms_per_inference', 'late_', 'repeated', 'skipped', 'holds', 'ood_score')
NO_ACTUATION = 'no source names a way to read the supply of a hand; motor currents alone give no energy'
PASSING = ('message', 'lifecycle', 'phase', 'state', 'hardware_id', 'hold_reason', 'reason', 'backend')
"""Text in a policy's diagnostics that says how it is, not what it is."""


def build(session: Session, system_before: Mapping[str, Any],
          system_after: Mapping[str, Any]) -> tuple[dict[str, Any], TickRecord, SeriesRecord]:
    """Make the result of a session as it stands now, without the hashes of files not yet written.

    Args:
        session: what was heard.
        system_before: :func:`environment.describe` at the start.
        system_after: the same now.
    """
    ticks, series = session.ticks(), session.series()
    policy = session.processes.of(session.config.policy_node)
    everyone = [*session.processes.processes, session.processes.machine]
    rows = episodes.merge(session.events)
    _, gaps = ticks.restored()
    period = ticks.period_ns
    seconds = session.seconds(session.end_ns)
    result: dict[str, Any] = {
        'schema': dict(SCHEMA),
        'run': {
            'id': str(uuid.uuid4()), 'created_utc': datetime.now(UTC).isoformat(timespec='seconds'),
            'tool_version': _version(), 'profile': 'live', 'duration_s': seconds,
            'clock': 'ROS time of each node\'s host; nodes of one machine share it',
            'parameters': dataclasses.asdict(session.config),
        },
        'workload': {
            'hand': {'name': session.model.name, 'description_sha256': session.model.sha256},
            'policy': _policy(session),
            'control_rate_hz': 1e9 / period if period else None,
            'deadline_ms': session.config.deadline_ms or (period * 1e-6 if period else None),
            'policy_on_overrun': 'skip',
            'includes': {'preprocess': True, 'postprocess': True, 'ros_transport': False},
            'source': {'kind': _kind(session)},
        },
        'system': dict(system_before),
        'backends': [{'name': name} for name in ticks.backends],
        'meters': [c.as_dict() for c in session.meter.channels],
        'energy_source': {'name': ' + '.join(headline(session.meter.channels)) or 'none',
                          'reason': session.meter.reason or None},
        'actuation': {'energy_j': None, 'reason': NO_ACTUATION},
        'blocks': [], 'summary': [], 'driver': {}, 'policy': {}, 'nodes': [],
        'processes': [{'pid': p.pid, 'name': p.name, 'source': p.source} for p in everyone],
        'policy_pid': policy.pid if policy else None,
        'episodes': {'rows': rows, **episodes.tally(rows)},
        'streams': {name: {'messages': count, 'mean_rate_hz': count / seconds if seconds > 0 else None}
                    for name, count in session.counts.items() if name != 'refused'},
        'account': {**dataclasses.asdict(gaps), 'unmatched': session.unmatched, 'refused': session.counts['refused'],
                    'hold_reasons': session.hold_reasons},
        'validity': {'status': 'invalid', 'reasons': []},
        'provenance': {'files': []},
    }
    result.update(derived(result, ticks, series))
    result['validity'] = check(result, environment.changes(system_before, system_after),
                               other_load=_other_load(result['nodes']))
    plain: dict[str, Any] = _plain(result)
    return plain, ticks, series


def derived(result: Mapping[str, Any], ticks: TickRecord, series: SeriesRecord) -> dict[str, Any]:
    """The sections that follow from the arrays alone: blocks, summary, driver, policy and nodes."""
    parameters = result['run']['parameters']
    files = result['provenance']['files']
    who = {p['pid']: p['name'] for p in result['processes']}
    sources = {p['pid']: p['source'] for p in result['processes']}
    deadline_ns = round(parameters['deadline_ms'] * 1e6)
    run, _ = ticks.restored()
    plain: dict[str, Any] = _plain({
        'blocks': [_block(number, run, ticks, deadline_ns) | {'ticks_file': next(iter(files), None)}
                   for number in range(len(ticks.backends))],
        'summary': summary.summaries(
            ticks, series, deadline_ns=deadline_ns, warmup=parameters['warmup_ticks'],
            policy_pid=result['policy_pid'], channels=[m['id'] for m in result['meters']]),
        'driver': summary.forwarded(series, parameters['driver_node'], DRIVER_KEYS),
        'policy': summary.forwarded(series, parameters['policy_node'], POLICY_KEYS),
        'nodes': summary.nodes(series, who, sources),
    })
    return plain


def write(folder: Path, result: dict[str, Any], ticks: TickRecord, series: SeriesRecord) -> None:
    """Write ``ticks.npz``, ``series.npz`` and, last, ``result.json`` with their hashes.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ticks.save(folder)
        series.save(folder)
        files = [{'path': name, 'sha256': sha256(folder / name)} for name in (TICKS_FILE, SERIES_FILE)]
        result['provenance']['files'] = files
        for block in result['blocks']:
            block['ticks_file'] = dict(files[0])
        text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / RESULT_FILE).write_text(text + '\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write into output_dir {str(folder)!r}: {error}') from error


def load(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a run folder.

    Raises:
        ConfigError: missing, no JSON, or of another schema.
    """
    path = folder / RESULT_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        schema = found['schema']
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f'{path} cannot be read: {error}; give the folder that inference_profiler wrote') from error
    except (KeyError, TypeError) as error:
        raise ConfigError(f'{path} states no schema; it is no result of this suite') from error
    if schema != SCHEMA:
        raise ConfigError(f'{path} has schema {schema}, this version reads {SCHEMA}')
    return found


def schema_document() -> dict[str, Any]:
    """The JSON Schema of a result, as shipped."""
    path = share_dir('allegro_bench') / 'schema' / 'result_live_v1.json'
    document: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return document


def validate(result: Mapping[str, Any]) -> None:
    """Check a result against the JSON Schema.

    Raises:
        ConfigError: it does not fit; the message says where.
        MissingDependency: the package ``jsonschema`` is absent.
    """
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependency('checking a result against its schema needs jsonschema: pip install jsonschema'
                                ) from error
    for problem in Draft202012Validator(schema_document()).iter_errors(result):
        where = '/'.join(str(p) for p in problem.absolute_path) or 'the top'
        raise ConfigError(f'the result does not fit its schema at {where}: {problem.message[:200]}')


def verify(folder: Path) -> list[str]:
    """Compute the derived sections again from the arrays; returns what differs, one sentence each (none: all agree).

    Raises:
        ConfigError: a file is missing or damaged.
    """
    result = load(folder)
    problems = [f'{f["path"]} is not the file that was written: its SHA-256 differs'
                for f in result['provenance']['files'] if sha256_or_none(folder / f['path']) != f['sha256']]
    again = derived(result, load_ticks(folder), load_series(folder))
    for section, value in again.items():
        problems += _differences(section, result.get(section), value)
    rows = result['episodes']['rows']
    tally = _plain(episodes.tally(rows))
    problems += _differences('episodes', {k: result['episodes'][k] for k in tally}, tally)
    return problems


def sha256_or_none(path: Path) -> str | None:
    """Hash of a file, None where there is none."""
    return sha256(path) if path.is_file() else None


def _differences(where: str, stored: Any, computed: Any) -> list[str]:
    if isinstance(computed, dict) and isinstance(stored, dict):
        return [d for key in {**stored, **computed}
                for d in _differences(f'{where}/{key}', stored.get(key), computed.get(key))]
    if isinstance(computed, list) and isinstance(stored, list) and len(computed) == len(stored):
        return [d for i, (a, b) in enumerate(zip(stored, computed, strict=True))
                for d in _differences(f'{where}/{i}', a, b)]
    if isinstance(computed, float) and isinstance(stored, (int, float)) and not isinstance(stored, bool):
        same = math.isclose(computed, stored, rel_tol=1e-9, abs_tol=1e-12)
    else:
        same = computed == stored
    return [] if same else [f'{where} is stored as {stored!r} and computed as {computed!r}']


def _block(number: int, run: Ticks, ticks: TickRecord, deadline_ns: int) -> dict[str, Any]:
    mine = run[run.backend == number]
    t0 = int(mine.release_ns[0]) if len(mine) else ticks.t0_ns
    end = int(mine.finish_ns.max()) if len(mine) else t0
    return {
        'index': number, 'backend': ticks.backends[number],
        't0_utc': datetime.fromtimestamp(t0 * 1e-9, UTC).isoformat(timespec='seconds'),
        'duration_s': (end - t0) * 1e-9 if end != NEVER else 0.0,
        'n_expected': len(mine), 'n_completed': len(mine.completed), 'n_skipped': int(mine.skipped.sum()),
        'n_late': int((mine.missed(deadline_ns or ticks.period_ns) & ~mine.skipped).sum()),
    }


def _policy(session: Session) -> dict[str, Any]:
    """What the policy's node says it runs: the text facts of its newest status."""
    facts: dict[str, Any] = {}
    for name, values in session.statuses.items():
        if name.partition(':')[0].strip() == session.config.policy_node:
            facts |= {k: v for k, v in values.items() if isinstance(v, str) and v and k not in PASSING}
    return facts


def _kind(session: Session) -> str | None:
    """Whether the hand is simulated: only a simulated one plays episodes; else the policy's mode; None if unsaid."""
    if session.events or any(name.partition(':')[0].strip() == 'episode_control' for name in session.statuses):
        return 'sim'
    modes = [v.get('mode') for k, v in session.statuses.items()
             if k.partition(':')[0].strip() == session.config.policy_node]
    return 'sim' if 'sim' in modes else 'hand' if 'live' in modes else None


def _other_load(rows: list[dict[str, Any]]) -> float | None:
    """CPU of everything that is not one of the known nodes, in cores; None where the machine's total is unknown."""
    total: float | None = next((r['cpu_percent_mean'] for r in rows if r['pid'] == 0), None)
    if total is None:
        return None
    ours = sum(r['cpu_percent_mean'] or 0.0 for r in rows if r['pid'] != 0 and r['source'] == 'proc')
    return max(0.0, total - ours) / 100.0


def _version() -> str | None:
    try:
        return version('allegro_bench')
    except PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    """Only what JSON knows; a number that is not finite is unknown."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


