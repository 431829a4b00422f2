"""Does anything that can arrive on a wire bring the driver down, or move a hand beyond its limits?

``python -m allegro_driver.evidence.fuzz`` tries every codec with random and mutated units, a million each: as a host
that hears them (``host``), as a hand that hears them (``hand``), and with the whole driver between them and a hand
(``loop``; see :mod:`.fuzz_targets` for what must hold). Then a third party talks on the driver's wire. ``--guided 60``
lets coverage choose the inputs instead, that many seconds for each codec and target in turn, in an environment that has
Atheris; where it has not, the commands that make one are printed (:mod:`.fuzz_guided`).

The same seed tries the same inputs. Exit code 1: something broke; the input is printed, in the form that
``fuzz_targets.TARGETS`` takes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError

from allegro_driver.evidence.fuzz_foreign import strangers
from allegro_driver.evidence.fuzz_guided import HEAD as GUIDED_HEAD
from allegro_driver.evidence.fuzz_guided import guided, require_atheris
from allegro_driver.evidence.fuzz_inputs import from_hand, from_host, happening, noise, spoilt
from allegro_driver.evidence.fuzz_loop import ClosedLoop, Item
from allegro_driver.evidence.fuzz_sides import HANDS, HandSide, HostSide, Unit
from allegro_driver.evidence.fuzz_targets import TARGETS, join

_NOISE, _DAMAGE, _STRETCH = 0.2, (0.02, 0.2, 0.9), 100
_BATCH, _KEPT = 24, 1000


@dataclass(slots=True)
class Row:
    """One codec and target.

    Attributes:
        understood: units that were a message, or cycles of the loop.
        samples: complete measurements among them (host), or ones that the loop answered.
        refused: units that were a ``ProtocolError``, or faults of the loop.
        torques: commands with torque that left, all of them within the clamp.
        internal: faults of the loop that were its own: an AllegroError where none belongs.
        crash: what broke, with the input; ''.
    """

    codec: str
    target: str
    units: int = 0
    understood: int = 0
    samples: int = 0
    refused: int = 0
    torques: int = 0
    internal: int = 0
    seconds: float = 0.0
    crash: str = ''

    def markdown(self) -> str:
        """The row."""
        faults = f'{self.refused}' + (f' ({self.internal})' if self.internal else '')
        return (f'| {self.codec} | {self.target} | {self.units} | {self.understood} | {self.samples or ""} | '
                f'{faults} | {self.torques or ""} | {self.seconds:.1f} | {"BROKEN" if self.crash else "holds"} |')


HEAD = (
    '| codec | target | units | messages; loop: cycles | samples | refused; loop: faults (internal) | '
    'torque commands, in limits | s | verdict |',
    '|---|---|---|---|---|---|---|---|---|',
)


def decode_all(codec: str, target: str, count: int, dice: random.Random) -> Row:
    """Feed one side with noise and damaged recordings."""
    side: HostSide | HandSide = HostSide(codec) if target == 'host' else HandSide(codec)
    recording = (from_hand if target == 'host' else from_host)(codec, 2000, dice)
    streams, row = [spoilt(codec, recording, dice, damage) for damage in _DAMAGE], Row(codec, target)
    stream, noisy = streams[0], 0.0
    begin, recent = time.perf_counter(), deque[Unit](maxlen=_KEPT)
    try:
        for _ in range(count):
            if row.units % _STRETCH == 0:  # a measurement of many frames needs stretches with little damage
                stream, noisy = dice.choice(streams), dice.choice((0.0, 0.01, _NOISE))
            unit = noise(codec, dice) if dice.random() < noisy else next(stream)
            recent.append(unit)
            row.units += 1
            side.feed(unit)
    except Exception as error:
        row.crash = _broken(error, list(recent))
    row.understood, row.refused, row.seconds = side.messages, side.refused, time.perf_counter() - begin
    row.samples = side.samples if isinstance(side, HostSide) else 0
    return row


def drive_all(codec: str, count: int, dice: random.Random) -> Row:
    """Let the driver follow commands while its hand's stream is damaged, more and less by turns."""
    modes = ('host', 'onboard') if codec in ('v5b2', 'v5_sense_can', 'plexus_can') else ('host',)
    row, begin = Row(codec, 'loop'), time.perf_counter()
    for mode in modes:
        loop = ClosedLoop(codec, mode)
        recording = from_hand(codec, 5000, dice)
        streams = [spoilt(codec, recording, dice, damage) for damage in (0.0, 0.02, 0.2)]
        recent, done = deque[Item](maxlen=_KEPT), 0
        try:
            while done < count // len(modes):
                stream = streams[dice.randrange(3)]
                items: list[Item] = happening(dice)
                items += (next(stream) for _ in range(_BATCH))
                recent.extend(items)
                loop.feed(items)
                done += _BATCH
        except Exception as error:
            row.crash = f'{mode}: {_broken(error, list(recent))}'
        row.units += done
        row.understood, row.refused = row.understood + loop.cycles, row.refused + loop.faults
        row.samples, row.torques = row.samples + loop.samples, row.torques + loop.torques
        row.internal += loop.internal
    row.seconds = time.perf_counter() - begin
    return row


def _broken(error: Exception, recent: list[Any]) -> str:
    return f'{type(error).__name__}: {error}; the last inputs: {join(recent[-20:]).hex()}'


def guide_all(codecs: Sequence[str], targets: Sequence[str], seconds: float, seed: int, keep: Path) -> tuple[Any, int]:
    """Guided runs with their table; returns them and how many broke."""
    require_atheris()
    print('\n'.join(GUIDED_HEAD), flush=True)
    runs = []
    for codec in codecs:
        for target in targets:
            print(f'{codec} {target} …', file=sys.stderr, flush=True)
            run = guided(codec, target, seconds, seed, keep)
            print(run.markdown(), flush=True)
            runs.append(run)
    for run in runs:
        for crash in run.crashes:
            print(f'\n{run.codec} {run.target}:\n{crash}')
    print(f'\n{sum(run.inputs for run in runs)} inputs, {sum(run.units for run in runs)} units in '
          f'{sum(run.seconds for run in runs):.0f} s, seed {seed}: {sum(len(run.crashes) for run in runs)} crashes')
    return [asdict(run) for run in runs], sum(bool(run.crashes) for run in runs)


def fuzz_all(codecs: Sequence[str], targets: Sequence[str], count: int, seed: int) -> tuple[Any, int]:
    """Random runs with their table; returns them and how many broke."""
    print('\n'.join(HEAD), flush=True)
    rows = []
    for codec in codecs:
        for target in targets:
            dice = random.Random(f'{seed} {codec} {target}')
            row = drive_all(codec, count, dice) if target == 'loop' else decode_all(codec, target, count, dice)
            print(row.markdown(), flush=True)
            rows.append(row)
    for row in rows:
        if row.crash:
            print(f'\n{row.codec} {row.target}: {row.crash}')
    print(f'\n{sum(row.units for row in rows)} units, seed {seed}')
    return [asdict(row) for row in rows], sum(bool(row.crash) for row in rows)


def strangers_all(codecs: Sequence[str], count: int, seed: int) -> tuple[Any, int]:
    """Third parties with their table; returns what came of them and how often something changed."""
    print('\n| codec | foreign units | counted as foreign | changed otherwise |\n|---|---|---|---|')
    results = []
    for codec in codecs:
        result = strangers(codec, count, seed)
        print(f'| {codec} | {result.sent} | {result.counted} | {"; ".join(result.changed) or "nothing"} |', flush=True)
        results.append(result)
    return [asdict(r) for r in results], sum(bool(r.changed) or r.counted != r.sent for r in results)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 when every promise held."""
    parser = argparse.ArgumentParser(prog='fuzz', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--codec', action='append', choices=list(HANDS), help='may be repeated (default: all)')
    parser.add_argument('--target', action='append', choices=list(TARGETS), help='may be repeated (default: all)')
    parser.add_argument('--count', type=int, default=1_000_000, help='units of each (default: %(default)s)')
    parser.add_argument('--foreign', type=int, default=5000, help="a third party's units, 0: none (default: 5000)")
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--guided', type=float, metavar='SECONDS',
                        help='let coverage choose, with atheris, for so long for each codec and target')
    parser.add_argument('--keep', type=Path, default=Path('fuzz_findings'), help='folder for inputs that broke it')
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    options = parser.parse_args(argv)
    codecs, targets = options.codec or list(HANDS), options.target or list(TARGETS)
    result: dict[str, Any] = {}
    broken = 0
    try:
        if options.guided:
            result['guided'], broken = guide_all(codecs, targets, options.guided, options.seed, options.keep)
        else:
            result['random'], broken = fuzz_all(codecs, targets, options.count, options.seed)
            if options.foreign:
                result['foreign'], changed = strangers_all(codecs, options.foreign, options.seed)
                broken += changed
    except AllegroError as error:
        print(f'fuzz: {error}', file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + '\n')
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
