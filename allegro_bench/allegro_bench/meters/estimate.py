"""A model, not a meter: busy seconds of all cores times watts that the user states.

Only when asked for by name, with its assumption; labelled ``estimated`` everywhere. It follows from CPU time alone, so
it can say nothing that CPU-seconds per inference do not say, and it must not be compared with measurements.
"""

from __future__ import annotations

import os
from pathlib import Path

from allegro_description.errors import ConfigError

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel
from allegro_bench.meters.sources import Clock, SourceMeter, monotonic

MOST_W = 100.0
IDLE_COLUMNS = (3, 4)  # idle, iowait of a line of /proc/stat


class EstimateMeter(SourceMeter):
    """Watts per busy core, as stated by the user."""

    argument = 'watts per busy core'
    on_request = True

    def __init__(self, watts: str, proc: Path | str = '/proc', clock: Clock = monotonic,
                 ticks_per_s: float | None = None) -> None:
        """Begin to count.

        Args:
            watts: per busy core.
            proc: where procfs is.
            clock: seconds, monotonic.
            ticks_per_s: of ``/proc/stat``; None asks the kernel.

        Raises:
            ConfigError: no number, or no such file.
        """
        try:
            value = float(watts)
        except ValueError:
            value = -1.0
        if not 0.0 < value <= MOST_W:
            raise ConfigError(f'estimate:{watts}: state watts per busy core, above 0 up to {MOST_W:g}, for example '
                              'estimate:4; there is no default because nobody knows it')
        stat = Path(proc) / 'stat'
        scale = value / (ticks_per_s or os.sysconf('SC_CLK_TCK'))
        try:
            counter = WrappingCounter(lambda: _busy(stat), 2**63, scale, MOST_W * 4096, clock(), frozen_s=float('inf'))
        except (OSError, ValueError) as error:
            raise ConfigError(f'{stat} cannot be read: {error}') from error
        channel = Channel(
            id='estimate', driver='estimate', kind='model', boundary='unknown', quality='estimated',
            path_or_device=f'{value:g} W per busy core, assumed by the user', unit_raw='CPU s', update_period_s=0.01)
        super().__init__([channel], {'estimate': counter}, clock, 60.0)


def _busy(stat: Path) -> int:
    """Ticks in which a core worked, all cores together."""
    columns = stat.read_text().split('\n', 1)[0].split()
    if len(columns) < 6 or columns[0] != 'cpu':
        raise ValueError('its first line is no sum over cores')
    # Time of guests is also in user time; the first eight columns count everything once.
    values = [int(v) for v in columns[1:9]]
    return sum(v for i, v in enumerate(values) if i not in IDLE_COLUMNS)
