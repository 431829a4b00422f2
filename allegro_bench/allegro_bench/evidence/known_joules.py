"""Known against measured joules, through the whole pipeline: ``python -m allegro_bench.evidence.known_joules``.

The load generator runs on a virtual clock; a fake source shows the energy of a known load; recorder, marks, windows,
result folder and summary are the real ones. The sources are fakes: this is no statement about any hardware.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from allegro_bench.energy import EnergyRecorder
from allegro_bench.evidence.fake_meters import FAKES
from allegro_bench.evidence.fake_source import Fake, Load, Stage
from allegro_bench.evidence.fake_sysfs import RANGE_UJ, FakePowercap
from allegro_bench.load import run_periodic
from allegro_bench.meters.sampled import window_error
from allegro_bench.results.blocks import numbers
from allegro_bench.results.document import new_document, save_ticks
from allegro_bench.results.summary import summarise

RATE_HZ, SERVICE_S = 50, 0.002
PERIOD_NS = round(1e9 / RATE_HZ)
BLOCK_S, BLOCKS, IDLE_S = 30.0, 3, 10.037
LOAD = Load(floor_w=8.0, pulse_w=12.0, period_s=7.013, high_s=3.007)
"""In no simple proportion to any sampling interval."""
WRAP_IN_S = 60.0
"""The processor's counter wraps here, within the second block."""


class VirtualClock:
    """Time of a stage for the load generator; the recorder reads when it is due."""

    def __init__(self, stage: Stage, recorder: EnergyRecorder) -> None:
        self._stage, self._recorder = stage, recorder

    def now_ns(self) -> int:
        """The present."""
        return round(self._stage.now * 1e9)

    def sleep_until(self, deadline_ns: int) -> None:
        """Let time pass."""
        while (left := deadline_ns * 1e-9 - self._stage.now) > 1e-10:
            self._stage.sleep(min(left, max(1e-6, self._recorder.poll())))
        self._recorder.poll()


def measured(kind: type[Fake], folder: Path, *, blocks: int = BLOCKS, block_s: float = BLOCK_S) -> dict[str, Any]:
    """Measure a fake in so many blocks.

    Args:
        kind: which source.
        folder: for its files and for the result.
        blocks: how many.
        block_s: length of each.

    Returns:
        ``meter``, ``known_j`` (mean per block, from the load in closed form), ``measured_j`` (from the summary),
        ``error`` (relative), ``window_error`` (stated), ``wrapped`` (the raw counter began anew within a block),
        ``carbon``, ``document``.
    """
    stage = Stage(kind, folder / 'tree', LOAD)
    if kind is FakePowercap:
        stage.close()
        wraps_at = stage.load.joules(WRAP_IN_S)
        stage = Stage(kind, folder / 'tree', LOAD, offset_j=RANGE_UJ * 1e-6 - wraps_at)
    recorder = EnergyRecorder([stage], clock=lambda: stage.now, sleep=stage.sleep)
    clock = VirtualClock(stage, recorder)
    document = new_document()
    document['run'] = {'order': [{'round': i, 'backend': 'fake'} for i in range(blocks)]}
    document['workload'] = {'control_rate_hz': RATE_HZ, 'deadline_ms': 1e3 / RATE_HZ}
    document['backends'] = [{'name': 'fake'}]
    document['meters'] = [c.as_dict() for c in recorder.channels]
    known, wrapped = 0.0, False
    for index in range(blocks):
        clock.sleep_until(round((stage.now + IDLE_S) * 1e9))
        before, begin = recorder.mark(), stage.now
        run = run_periodic(lambda _: stage.sleep(SERVICE_S), clock, period_ns=PERIOD_NS, count=round(block_s * RATE_HZ))
        end_ns = round(begin * 1e9) + len(run) * PERIOD_NS
        clock.sleep_until(end_ns)
        window = recorder.window(before, recorder.mark(), round(begin * 1e9), end_ns)
        known += stage.load.joules(end_ns * 1e-9) - stage.load.joules(begin)
        wrapped |= kind is FakePowercap and begin < WRAP_IN_S < end_ns * 1e-9
        document['blocks'].append({
            'index': index, 'order_index': index, 'kind': 'measure', 'backend': 'fake', 'seed': 0, 'error': None,
            't0_monotonic_ns': round(begin * 1e9), 'duration_s': len(run) * PERIOD_NS * 1e-9, 'cpu_s': None,
            **numbers(run, PERIOD_NS), 'ticks_file': save_ticks(folder, f'{index:03d}', run), **window.as_block()})
    recorder.close()
    entry = summarise(document, folder)[0][0]
    energy = entry['energy'][stage.fake.channel]['gross_j_per_inference']['value']
    joules = None if energy is None else energy * entry['n_completed'] / blocks
    channel = next(c for c in recorder.channels if c.id == stage.fake.channel)
    return {'meter': channel.id, 'driver': channel.driver, 'kind': channel.kind, 'quality': channel.quality,
            'known_j': known / blocks, 'measured_j': joules,
            'error': None if joules is None else joules / (known / blocks) - 1.0,
            'window_error': window_error(channel, block_s), 'wrapped': wrapped, 'carbon': entry['carbon'],
            'document': document}


def table(rows: list[dict[str, Any]]) -> str:
    """For the README."""
    lines = [f'| fake of | channel | kind | known, J per {BLOCK_S:g} s block | measured, J | error | stated, ± |',
             '|---|---|---|---|---|---|---|']
    for row in rows:
        stated = '' if row['window_error'] is None else f'{100 * row["window_error"]:.3g} %'
        wrap = ', wraps in a block' if row['wrapped'] else ''
        what = 'none' if row['measured_j'] is None else f'{row["measured_j"]:.2f}'
        error = '' if row['error'] is None else f'{100 * row["error"]:+.3f} %'
        lines.append(f'| {row["driver"]} | `{row["meter"]}`{wrap} | {row["kind"]}, {row["quality"]} '
                     f'| {row["known_j"]:.2f} | {what} | {error} | {stated} |')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.known_joules', description=__doc__)
    parser.add_argument('--json', type=Path, help='also write the rows to this file')
    given = parser.parse_args(arguments)
    rows = []
    for kind in FAKES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(kind, Path(folder)))
    print(table(rows))
    print(f'\nFakes on a virtual clock, {RATE_HZ} Hz, {BLOCKS} blocks of {BLOCK_S:g} s, load 8 W with pulses of 12 W. '
          'Nothing here was read from hardware.')
    if given.json:
        given.json.write_text(json.dumps([{k: v for k, v in r.items() if k != 'document'} for r in rows], indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
