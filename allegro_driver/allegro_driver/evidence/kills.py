"""Kill drivers and emulated hands at random moments: is torque ever left, and does everything start again?

``python -m allegro_driver.evidence.kills`` moves emulated hands over UDP and over CAN (SLCAN on a pseudo-terminal) with
the control loop in a process of its own (:mod:`.moved_hand`) and, for a share of the trials, with the node
``hand_driver``, and kills one side 200 times: mostly while torque flows, one time in five while it starts. Limits were
fixed before the first run:

- *driver* killed by SIGKILL, or frozen by SIGSTOP: all torques of the hand are zero within 100 ms (the guardian's
  work) and stay so, also when the frozen one goes on (a frame it was just sending is taken back within 20 ms); by
  SIGTERM, SIGINT or SIGHUP: within 500 ms, and the process ends within 10 s. No helper process is left. The next driver
  starts, enables and moves the same hand: each trial is the test of the one before.
- *hand* killed: the driver is in fault within 50 ms after that can be noticed (a terminal that hangs up: at once; else
  the last sample is too old). The hand that starts anew gets no torque until the fault is cleared, and is
  moved after that.
- *driver and guardian* killed together: nobody is left to send zeros, so nothing is promised. The emulated hand keeps
  its last torque, which is the worst that a real one can do; the next driver takes it away. Counted, not judged.

How long the killed process itself took to be *gone* is told apart from that and not judged: the kernel takes its memory
down before it closes its pipes. That is long for a big process on a busy machine; the guardian does not wait for it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from allegro_description.errors import AllegroError
from allegro_description.model import load_hand

from allegro_driver.evidence.kill_trials import Arena, Outcome
from allegro_driver.realtime import prepare_thread

WORST_S = {'driver, at once': 0.1, 'driver': 0.5, 'hand': 0.05}
PLACES = ('v5_sense_right/udp', 'v5_sense_right/can', 'v4_right/can', 'plexus_right/can')
ORDERLY, AT_ONCE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), (signal.SIGKILL, signal.SIGSTOP)
STARTING = 0.2
LOOKING_PRIORITY = 50
"""Below drivers and hands: who looks must not be late on a busy machine, nor make others late."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is killed (``loop``, ``node``, ``hand``, ``both``), how, and how often among the others."""

    victim: str
    number: signal.Signals
    share: int

    @property
    def label(self) -> str:
        """How the table names it."""
        return {'loop': 'driver', 'node': 'driver node', 'hand': 'hand', 'both': 'driver and guardian'}[
            self.victim] + f' {self.number.name}'

    @property
    def worst_s(self) -> float | None:
        """What passes, s; None: nothing is promised."""
        if self.victim == 'both':
            return None
        if self.victim == 'hand':
            return WORST_S['hand']
        return WORST_S['driver, at once' if self.number in AT_ONCE else 'driver']


KINDS = (
    Kind('loop', signal.SIGKILL, 5), Kind('loop', signal.SIGSTOP, 2), *(Kind('loop', number, 2) for number in ORDERLY),
    Kind('hand', signal.SIGKILL, 4), Kind('both', signal.SIGKILL, 1),
    Kind('node', signal.SIGKILL, 2), Kind('node', signal.SIGSTOP, 1), *(Kind('node', number, 1) for number in ORDERLY),
)


@dataclass(slots=True)
class Row:
    """All trials of one place and kind."""

    place: str
    kind: Kind
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What failed, one text per trial."""
        return [
            f'{self.place}, {self.kind.label}{", while it started" if o.starting else ""}: {"; ".join(texts)}'
            for o in self.outcomes if (texts := o.failures(self.kind.worst_s))]

    def markdown(self) -> str:
        """The row."""
        flowing = sum(o.flowing for o in self.outcomes)
        limit = self.kind.worst_s
        if limit is None:
            kept = sum(o.seconds is None for o in self.outcomes)
            verdict = f'{kept} times torque stayed until the next driver came: no promise'
        else:
            verdict = f'{len(self.failures)} failed' if self.failures else 'holds'
        return (f'| {self.place} | {self.kind.label} | {len(self.outcomes)} | {flowing} | '
                f'{_slowest(o.gone_s for o in self.outcomes)} | {_slowest(o.seconds for o in self.outcomes)} | '
                f'{"" if limit is None else f"{limit * 1e3:.0f}"} | {verdict} |')


HEAD = (
    '| hand | killed | n | with torque flowing | slowest until the process was gone, ms | '
    'slowest to zero torque (hand killed: to fault), ms | allowed, ms | verdict |',
    '|---|---|---|---|---|---|---|---|',
)


def _slowest(times: Iterable[float | None]) -> str:
    """The longest of the times that were measured, in ms."""
    longest = max((t for t in times if t is not None), default=None)
    return '' if longest is None else f'{longest * 1e3:.1f}'


def together(rows: Sequence[Row]) -> list[Row]:
    """The same outcomes by kind, over all places."""
    return [
        Row('all', kind, [outcome for row in rows if row.kind == kind for outcome in row.outcomes])
        for kind in KINDS if any(row.kind == kind for row in rows)]


def summary(rows: Sequence[Row], seed: int) -> str:
    """The result in a sentence."""
    at_once = [o for row in rows if row.kind.victim in ('loop', 'node') and row.kind.number in AT_ONCE
               for o in row.outcomes]
    return (f'{sum(len(row.outcomes) for row in rows)} kills, seed {seed}: '
            f'{sum(len(row.failures) for row in rows)} failures. Drivers killed or frozen at once: zero torque after '
            f'{_slowest(o.seconds for o in at_once) or "-"} ms at most, their processes were gone after '
            f'{_slowest(o.gone_s for o in at_once) or "-"} ms at most')


def plan(count: int, node: bool, dice: random.Random) -> list[Kind]:
    """Kinds in random order, each by its share."""
    kinds = [kind for kind in KINDS if node or kind.victim != 'node' for _ in range(kind.share)]
    chosen: list[Kind] = []
    while len(chosen) < count:
        dice.shuffle(kinds)
        chosen += kinds[:count - len(chosen)]
    return chosen


def trials(place: str, kinds: Sequence[Kind], dice: random.Random, environment: dict[str, str]) -> list[Row]:
    """All trials at one place, and one more start at the end.

    Raises:
        AllegroError: the emulated hand does not start.
    """
    name, _, link = place.partition('/')
    rows = {kind: Row(place, kind) for kind in KINDS if kind in kinds}
    with tempfile.TemporaryDirectory() as folder, Arena(
            load_hand(*name.rsplit('_', 1)), link, Path(folder), environment) as arena:
        for number, kind in enumerate(kinds, 1):
            if kind.victim == 'hand':
                outcome = arena.kill_hand(dice)
            else:
                outcome = arena.kill_driver(
                    dice, 'node' if kind.victim == 'node' else 'loop', kind.number, guardian=kind.victim == 'both',
                    starting=kind.victim != 'both' and dice.random() < STARTING)
            rows[kind].outcomes.append(outcome)
            for text in outcome.failures(kind.worst_s):
                print(f'{place}, {kind.label}: {text}', file=sys.stderr, flush=True)
            print(f'\r{place} {number}/{len(kinds)} ', end='', file=sys.stderr, flush=True)
        print(file=sys.stderr)
        arena.drive('loop')  # the last kill's test
        for text in arena.cleared:
            print(f'{place}, a fault between the kills, cleared: {text}', file=sys.stderr)
    return list(rows.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog='kills', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--count', type=int, default=200, help='kills over all hands (default: %(default)s)')
    parser.add_argument('--place', action='append', help=f'HAND/LINK; may be repeated (default: {", ".join(PLACES)})')
    parser.add_argument('--no-node', action='store_true', help='do not try the ROS node')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--domain', type=int, default=int(os.environ.get('ROS_DOMAIN_ID', '0')), help='ROS_DOMAIN_ID')
    parser.add_argument('--json', type=Path, help='write all outcomes to this file')
    options = parser.parse_args(argv)
    places = options.place or list(PLACES)
    environment = {
        **os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_DOMAIN_ID': str(options.domain)}
    rows: list[Row] = []
    prepare_thread(LOOKING_PRIORITY)
    try:
        for index, place in enumerate(places):
            dice = random.Random(f'{options.seed} {place}')
            share = options.count * (index + 1) // len(places) - options.count * index // len(places)
            rows += trials(place, plan(share, not options.no_node, dice), dice, environment)
    except AllegroError as error:
        print(f'kills: {error}', file=sys.stderr)
        return 1
    shown = rows + together(rows) if len(places) > 1 else rows
    print('\n'.join((*HEAD, *(row.markdown() for row in shown))))
    failures = [text for row in rows for text in row.failures]
    print(f'\n{summary(rows, options.seed)}')
    for text in failures:
        print(f'- {text}')
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + '\n')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
