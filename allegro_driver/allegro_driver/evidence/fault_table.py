"""Every hand, every link, every fault: what state it ends in, how fast it is safe, and what diagnostics say.

``python -m allegro_driver.evidence.fault_table`` runs against emulated hands in processes of their own, several at the
same time, and prints what became of each fault, and then of each fault on each hand. Some hands have no torque before
their operator confirms what no source settles (left thumbs): these get a row that shows it, and are named with what the
other rows confirm.

*Safe after* counts from the moment at which the fault can be noticed (a message that names it has arrived; the last
sample is older than ``stale_after_s``) to zero torque sent, the worst of all trials. A row is unsafe when that takes
more than 50 ms, when torque follows zero torque, when a command left the clamp, when torque is given unconfirmed, or
when the hand has torque after the driver has ended and the wire carries again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from allegro_description.errors import AllegroError
from allegro_description.model import HandModel, available_hands, load_hand

from allegro_driver.evidence.fault_trials import Bench, Outcome


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, its value, and whether it is there from the start."""

    fault: str
    value: object = None
    before: bool = False

    @property
    def label(self) -> str:
        """How the table names it."""
        shown = self.fault if self.value is None else f'{self.fault}={self.value}'
        return f'{shown}, from the start' if self.before else shown


CASES = (
    Case('drop', 0.2), Case('drop', 1.0), Case('delay', 20), Case('delay', 200), Case('duplicate', 0.5),
    Case('reorder', 0.3), Case('corrupt', 0.3), Case('flood', 2000), Case('wrong_peer', 1.0), Case('bus_off'),
    Case('stale'), Case('freeze'), Case('missing_finger'), Case('period_ignored', 0), Case('device_id', 3),
    Case('restart'), Case('motor_error'), Case('info_fault'), Case('overheat', 95), Case('zero_offset'),
    Case('dead_taxel'), Case('saturated_taxel'), Case('taxel_invalid'),
    Case('wrong_side', before=True), Case('wrong_type', before=True), Case('blank_serial', before=True),
    Case('ignore_requests', 1000, before=True), Case('stale', before=True), Case('missing_finger', before=True),
    Case('bus_off', before=True), Case('device_id', 3, before=True), Case('zero_offset', before=True),
)


@dataclass(slots=True)
class Row:
    """All trials of one hand, link and fault; ``confirmed`` names what its operator had to confirm before."""

    hand: str
    link: str
    fault: str
    outcomes: list[Outcome]
    confirmed: str = ''

    @property
    def states(self) -> str:
        """States reached, each once."""
        return ', '.join(sorted({o.state for o in self.outcomes}))

    @property
    def safe_after_ms(self) -> float | None:
        """The worst time to zero torque, ms; None where torque was rightly kept or never on."""
        times = [o.safe_after_s for o in self.outcomes if o.safe_after_s is not None]
        return max(times) * 1e3 if times else None

    @property
    def objections(self) -> list[str]:
        """What was unsafe."""
        return sorted({text for o in self.outcomes for text in o.objections})

    def markdown(self) -> str:
        """The row."""
        after = '' if self.safe_after_ms is None else f'{self.safe_after_ms:.1f}'
        text = self.outcomes[0].text.replace('|', '/')
        verdict = '; '.join(self.objections) or 'safe'
        hand = f'{self.hand} ({self.confirmed} confirmed)' if self.confirmed else self.hand
        return f'| {hand} | {self.link} | {self.fault} | {self.states} | {after} | {verdict} | {text} |'


HEAD = (
    '| hand | link | fault | state | safe after, ms (worst) | verdict | diagnostics |',
    '|---|---|---|---|---|---|---|',
)


_JOBS_PER_CORE = 2  # a trial mostly waits

UNCONFIRMED = 'nothing confirmed'
HEAD_BY_FAULT = (
    '| fault | hands × links | ends in | zero torque after it can be noticed, worst, ms | unsafe |',
    '|---|---|---|---|---|',
)


def by_fault(rows: Sequence[Row]) -> list[str]:
    """One line for each fault, over all hands and links; the most frequent state first."""
    lines = []
    for fault in dict.fromkeys(row.fault for row in rows):
        chosen = [row for row in rows if row.fault == fault]
        states = Counter(outcome.state for row in chosen for outcome in row.outcomes)
        times = [row.safe_after_ms for row in chosen if row.safe_after_ms is not None]
        lines.append(
            f'| {fault} | {len(chosen)} | {", ".join(state for state, _ in states.most_common())} | '
            f'{f"{max(times):.1f}" if times else ""} | {sum(bool(row.objections) for row in chosen)} |')
    return lines


def run(model: HandModel, link: str, cases: Sequence[Case], trials: int) -> list[Row]:
    """All trials of one hand on one link; faults that it cannot have are left out."""
    rows = []
    confirmed = ', '.join(model.confirm)
    print(f'{model.name} over {link} …', file=sys.stderr, flush=True)
    with closing(Bench(model, link)) as bench:
        if confirmed:
            rows.append(Row(model.name, link, UNCONFIRMED, [bench.unconfirmed()]))
        for case in cases:
            outcomes: list[Outcome] = []
            for _ in range(trials):
                outcome = bench.trial(case.fault, case.value, before=case.before)
                if outcome is None:
                    break
                outcomes.append(outcome)
            if outcomes:
                rows.append(Row(model.name, link, case.label, outcomes, confirmed))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 when no row is unsafe."""
    parser = argparse.ArgumentParser(prog='fault_table', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--hand', action='append', help='one hand, e.g. v4_right; may be repeated (default: all)')
    parser.add_argument('--fault', action='append', help='only these faults')
    parser.add_argument('--trials', type=int, default=3, help='trials of each row (default: %(default)s)')
    parser.add_argument('--jobs', type=int, default=_JOBS_PER_CORE * (os.cpu_count() or 1),
                        help='hands that are tried at the same time (default: %(default)s); 1 for the best times')
    parser.add_argument('--json', type=Path, help='write all outcomes to this file')
    options = parser.parse_args(argv)
    cases = [case for case in CASES if not options.fault or case.fault in options.fault]
    rows: list[Row] = []
    try:
        models = [load_hand(*name.rsplit('_', 1)) for name in options.hand or available_hands()]
        with ProcessPoolExecutor(max(options.jobs, 1), multiprocessing.get_context('spawn')) as pool:
            wires = [
                pool.submit(run, model, link, cases, options.trials) for model in models for link in model.protocol]
            for wire in wires:
                rows += wire.result()
    except AllegroError as error:
        print(f'fault_table: {error}', file=sys.stderr)
        return 2
    print('\n'.join((*HEAD_BY_FAULT, *by_fault(rows), '', *HEAD, *(row.markdown() for row in rows))))
    unsafe = [row for row in rows if row.objections]
    worst = max((row.safe_after_ms or 0.0 for row in rows), default=0.0)
    print(f'\n{len(rows)} rows, {options.trials} trials each: {len(unsafe)} unsafe; slowest {worst:.1f} ms')
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + '\n')
    return 1 if unsafe else 0


if __name__ == '__main__':
    sys.exit(main())
