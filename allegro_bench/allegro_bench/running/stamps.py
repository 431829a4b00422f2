"""Stamps of a block in memory that two processes share: what was measured survives the one that measured it.

The child writes, the parent reads, also after the child crashed or hung. All pages are touched before the block, so
that writing a stamp never waits for memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_bench.latency import NEVER, Ticks, ticks

HEAD = 8
"""Numbers before the columns: first release (ns), period (ns), ticks, and how many ticks were passed so far."""
COLUMNS = 4
"""Start, finish; start and finish of the engine call inside."""


class StampBuffer:
    """Columns of int64 for ``count`` ticks."""

    def __init__(self, descriptor: int, count: int) -> None:
        """Map the memory behind ``descriptor``; use :meth:`create` or :meth:`attach`."""
        self.descriptor, self.count = descriptor, count
        self._map = mmap.mmap(descriptor, 8 * (HEAD + COLUMNS * count))
        view = memoryview(self._map).cast('q')
        self.head = view[:HEAD]
        self.start, self.finish, self.engine_start, self.engine_finish = (
            view[HEAD + c * count:HEAD + (c + 1) * count] for c in range(COLUMNS))

    @classmethod
    def create(cls, count: int) -> StampBuffer:
        """Anonymous memory, filled with :data:`NEVER`.

        Raises:
            ConfigError: no memory for so many ticks.
        """
        descriptor = os.memfd_create('allegro_bench_stamps')
        try:
            os.posix_fallocate(descriptor, 0, 8 * (HEAD + COLUMNS * count))
            buffer = cls(descriptor, count)
        except OSError as error:
            os.close(descriptor)
            raise ConfigError(f'no memory for the stamps of {count} ticks ({error}); measure shorter blocks') from error
        buffer.wipe()
        return buffer

    @classmethod
    def attach(cls, descriptor: int) -> StampBuffer:
        """The same memory in another process."""
        return cls(descriptor, (os.fstat(descriptor).st_size // 8 - HEAD) // COLUMNS)

    def wipe(self) -> None:
        """Forget everything; touches every page."""
        whole = self._whole()
        whole[:HEAD], whole[HEAD:] = 0, NEVER

    def _whole(self) -> NDArray[np.int64]:
        return np.frombuffer(self._map, dtype=np.int64)

    @property
    def passed(self) -> int:
        """Ticks completed or skipped so far; a block that ended early knows nothing of later ones."""
        return int(self.head[3])

    def begin(self, first_ns: int, period_ns: int) -> None:
        """Note the schedule."""
        self.head[0], self.head[1], self.head[2], self.head[3] = first_ns, period_ns, self.count, 0

    def ticks(self) -> Ticks:
        """Every tick that was passed."""
        n = self.passed
        columns = self._whole()[HEAD:].reshape(COLUMNS, self.count)[:2, :n].copy()
        columns[:, columns[1] == NEVER] = NEVER  # begun and never finished
        index = np.arange(n, dtype=np.int64)
        return ticks(index, int(self.head[0]) + index * int(self.head[1]), columns[0], columns[1])

    def engine_ns(self) -> NDArray[np.int64]:
        """Duration of the engine call of each tick that was passed, ns, (n,); :data:`NEVER` where there was none."""
        n = self.passed
        columns = self._whole()[HEAD:].reshape(COLUMNS, self.count)[:, :n]
        known = (columns[1] != NEVER) & (columns[3] != NEVER)
        return np.where(known, columns[3] - columns[2], NEVER)

    def close(self) -> None:
        """Let go of the memory."""
        for view in (self.head, self.start, self.finish, self.engine_start, self.engine_finish):
            view.release()
        with contextlib.suppress(BufferError):  # an array still looks at it; it goes with the array
            self._map.close()
        os.close(self.descriptor)
