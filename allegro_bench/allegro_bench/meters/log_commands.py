"""``allegro-bench inject-load`` and ``attach-power``: energy of a finished run from the log of an instrument."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from allegro_description.errors import ConfigError

from allegro_bench.energy import together, window
from allegro_bench.meters.meter import BOUNDARIES, channel_of
from allegro_bench.meters.power_log import CsvMeter, PowerLog, Step, inject_load, read_log

EPILOG = """an instrument with UTC stamps:     allegro-bench attach-power RUN LOG.csv --boundary wall
an instrument with its own clock:  allegro-bench inject-load steps.json
                                   allegro-bench run …
                                   allegro-bench inject-load steps.json
                                   allegro-bench attach-power RUN LOG.csv --boundary wall --steps steps.json
the run and both loads must be in one log, and the machine must not have been restarted in between"""


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    words = 'keep one core busy for some seconds, so that the log of an instrument can be aligned'
    command = commands.add_parser('inject-load', help=words, description=words)
    command.add_argument('steps', type=Path, help='JSON file to which begin and end are appended')
    command.add_argument('--seconds', type=float, default=5.0, help='how long (default: 5)')
    command.set_defaults(run=_inject)
    words = 'energy of a finished run from the log of a separate instrument'
    command = commands.add_parser('attach-power', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('folder', type=Path, help='of the run')
    command.add_argument('log', type=Path, help='CSV file with a header')
    command.add_argument('--boundary', required=True, choices=BOUNDARIES, help='what the instrument measures')
    command.add_argument('--steps', type=Path, help='what inject-load wrote; without it the log needs UTC stamps')
    command.add_argument('--time-column', default='', help='seconds or ISO 8601 (default: the first)')
    command.add_argument('--power-column', default='', help='watts (default: the second)')
    command.set_defaults(run=_attach)


def _inject(given: argparse.Namespace) -> int:
    if not 1.0 <= given.seconds <= 60.0:
        raise ConfigError(f'--seconds {given.seconds:g}; allowed: 1 … 60')
    steps = read_steps(given.steps) if given.steps.exists() else []
    steps.append(inject_load(given.seconds))
    try:
        given.steps.write_text(json.dumps(steps) + '\n')
    except OSError as error:
        raise ConfigError(f'{given.steps} cannot be written: {error}') from error
    print(f'{given.steps}: {len(steps)} load{"s" if len(steps) > 1 else ""}')
    return 0


def read_steps(path: Path) -> list[Step]:
    """Begins and ends that ``inject-load`` has noted.

    Raises:
        ConfigError: it is no such file.
    """
    try:
        return [(float(begin), float(end)) for begin, end in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f'{path} is no file of inject-load: {error}') from error


def _attach(given: argparse.Namespace) -> int:
    from allegro_bench.results.document import load, write
    from allegro_bench.results.summary import summarise
    from allegro_bench.results.validity import DERIVED, judge

    document = load(given.folder)
    if not document['blocks']:
        raise ConfigError(f'{given.folder} holds no blocks')
    log = read_log(given.log, given.time_column, given.power_column)
    aligned = log.on_steps(read_steps(given.steps)) if given.steps else log.on_utc(utc_offset(document))
    name = attach(document, aligned, f'{given.boundary}={given.log}')
    document['summary'], document['comparisons'] = summarise(document, given.folder)
    own = [r for r in document['validity']['reasons'] if r['code'] not in DERIVED]
    document['validity'] = judge(document, given.folder, own)
    write(given.folder, document)
    known = [b for b in document['blocks'] if b['energy_j'].get(name) is not None]
    print(f'{name}: energy of {len(known)} of {len(document["blocks"])} blocks, {given.boundary}')
    return 0 if known else 1


def utc_offset(document: dict[str, Any]) -> float:
    """UTC minus CLOCK_MONOTONIC during a run, s, as its blocks noted both."""
    offsets: list[float] = [datetime.fromisoformat(b['t0_utc']).timestamp() - b['t0_monotonic_ns'] * 1e-9
                            for b in document['blocks']]
    return median(offsets)


def attach(document: dict[str, Any], log: PowerLog, source: str) -> str:
    """Add a channel and the energy of every block, where the log has it; returns the channel's id.

    Args:
        document: a result; changed.
        log: on the monotonic clock of the machine.
        source: ``boundary=file``.

    Raises:
        ConfigError: it is attached already.
    """
    now = [0.0]
    meter = CsvMeter(source, lambda: now[0], log)
    channel = meter.channels[0]
    if channel.id in {m['id'] for m in document['meters']}:
        raise ConfigError(f'{channel.id} is in this result already: rename the log')
    period_s = 1.0 / document['workload']['control_rate_hz']
    for block in document['blocks']:
        begin = block['t0_monotonic_ns'] * 1e-9
        meter = CsvMeter(source, lambda: now[0], log)
        now[0] = begin
        before = {k: replace(s, t_ns=block['t0_monotonic_ns']) for k, s in meter.read().items()}
        now[0] = begin + block['n_expected'] * period_s
        end_ns = block['t0_monotonic_ns'] + round(block['n_expected'] * period_s * 1e9)
        after = {k: replace(s, t_ns=end_ns) for k, s in meter.read().items()}
        found = window(before, after, block['t0_monotonic_ns'], end_ns)
        for field, values in found.as_block().items():
            if isinstance(values, dict):
                block[field] = {**block.get(field, {}), **values}
            elif block.get(field) is None:
                block[field] = values
    others = [channel_of(m) for m in document['meters']]
    # Those of the run have found out already what they share with each other; a group each would forget it.
    rows = {c.id: c.as_dict() for c in together([others, [channel]])}
    document['meters'] = [rows[m['id']] for m in document['meters']] + [rows[channel.id]]
    return channel.id
