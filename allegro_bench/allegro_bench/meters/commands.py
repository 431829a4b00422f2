"""``allegro-bench meters``: which energy meters work here, what is missing for the others, and what they read now."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from allegro_description.errors import AllegroError, ConfigError
from allegro_description.share import share_dir

from allegro_bench.energy import EnergyRecorder
from allegro_bench.meters import METERS
from allegro_bench.meters.meter import headline
from allegro_bench.meters.opening import AUTO, open_meter, open_meters
from allegro_bench.meters.sampled import window_error
from allegro_bench.meters.sysfs import RULE

EPILOG = """examples:
  allegro-bench meters                         works, or what is missing, one meter after the other
  allegro-bench meters --watch 30              watts of everything that works, over 30 s
  allegro-bench meters --watch 30 external:http://192.168.33.1/rpc/Switch.GetStatus?id=0
  allegro-bench meters --rule                  the rule by which one group may read the counters; read its header
"""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'list energy meters, whether they work here and what is missing'
    command = commands.add_parser('meters', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('meter', nargs='?', default=AUTO, help='what to watch: auto, or names with their arguments, '
                         'separated by commas (default: auto)')
    command.add_argument('--watch', type=float, metavar='SECONDS', help='measure for so long and print watts')
    command.add_argument('--rule', action='store_true', help='print the udev rule that grants a group to read')
    command.add_argument('--json', action='store_true', help='print JSON')
    command.set_defaults(run=_meters)


def _meters(given: argparse.Namespace) -> int:
    if given.rule:
        path = share_dir('allegro_bench') / RULE
        try:
            print(f'# {path}\n{path.read_text()}', end='')
        except OSError as error:
            raise ConfigError(f'{path} cannot be read: {error}. Reinstall the package.') from error
        return 0
    if given.watch is not None:
        return _watch(given.meter, given.watch, given.json)
    rows = states() if given.meter == AUTO else [state(name) for name in given.meter.split(',')]
    if given.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    width = max(len(row['name']) for row in rows)
    for row in rows:
        print(f'{row["name"]:<{width}}  {row["words"]}')
        for channel in row['channels']:
            print(f'{"":<{width}}    {channel["id"]}: {channel["boundary"]}, {channel["kind"]}, {channel["quality"]}')
    return 0


def states() -> list[dict[str, Any]]:
    """Every known meter: ``name``, ``works`` (None: it needs to be told something), ``words``, ``channels``."""
    return [state(name) for name in METERS.names()]


def state(words: str) -> dict[str, Any]:
    """One meter, by its name and argument."""
    row: dict[str, Any] = {'name': words, 'works': False, 'words': '', 'channels': []}
    try:
        kind = METERS.load(words.partition(':')[0])
        told = str(getattr(kind, 'argument', ''))
        if told and ':' not in words and getattr(kind, 'argument_needed', True):
            return row | {'works': None, 'words': f'on request: {words}:… with {told}'}
        meter = open_meter(words)
    except AllegroError as error:
        return row | {'words': f'not here: {error}'}
    found = [c.as_dict() for c in meter.channels]
    meter.close()
    works = 'works' if found else 'always there: energy is then unknown, and said to be'
    return row | {'works': True, 'words': works, 'channels': found}


def _watch(words: str, seconds: float, as_json: bool) -> int:
    if not 0.5 <= seconds <= 3600.0:
        raise ConfigError(f'--watch {seconds:g}; allowed: 0.5 … 3600 s')
    with EnergyRecorder(open_meters(words)) as recorder:
        if not recorder.channels:
            print(f'none: {recorder.reason}')
            return 0
        before = recorder.mark()
        time.sleep(seconds)
        after = recorder.mark()
        window = recorder.window(before, after)
    shown, rows = headline(recorder.channels), []
    for channel in recorder.channels:
        joules, (first, last, *_) = window.joules[channel.id], window.marks[channel.id]
        watts = None if joules is None or not first or not last else joules / ((last - first) * 1e-9)
        rows.append({'id': channel.id, 'watts': watts, 'joules': joules, 'boundary': channel.boundary,
                     'quality': channel.quality, 'headline': channel.id in shown,
                     'window_error': window_error(channel, seconds), 'problem': window.problems.get(channel.id)})
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    for row in rows:
        what = f'{row["watts"]:.3g} W' if row['watts'] is not None else f'unknown: {row["problem"]}'
        error = '' if row['window_error'] is None else f', window ± {100 * row["window_error"]:.2g} %'
        print(f'{"*" if row["headline"] else " "} {row["id"]}: {what} ({row["boundary"]}, {row["quality"]}{error})')
    print('* may be added to each other; what overlaps must not be')
    return 0

