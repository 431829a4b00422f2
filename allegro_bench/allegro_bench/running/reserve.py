"""Disk space of a run, taken at its begin: a disk that fills up meanwhile costs no measured tick."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from allegro_description.errors import ConfigError

FILE = '.reserve'
TICK_BYTES = 5 * 8
BLOCK_BYTES = 16_384
DOCUMENT_BYTES = 4_000_000
"""Result, report and what they are drafted in."""


def bytes_of(ticks: list[int]) -> int:
    """What a run with blocks of so many ticks may write at most."""
    return DOCUMENT_BYTES + sum(BLOCK_BYTES + TICK_BYTES * n for n in ticks)


class Reserve:
    """A file that holds the space; it shrinks as blocks are written."""

    def __init__(self, folder: Path, size: int) -> None:
        """Take ``size`` bytes of the disk below ``folder``.

        Raises:
            ConfigError: they are not to be had.
        """
        self._path, self._size = folder / FILE, size
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._path.open('wb') as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            self.release()
            raise ConfigError(f'{folder}: the run needs {size / 1e6:.0f} MB there ({error}); free space, choose '
                              'another --output, or measure shorter') from error

    def shrink(self, ticks: int) -> None:
        """Give back what one block of so many ticks takes."""
        self._size = max(0, self._size - BLOCK_BYTES - TICK_BYTES * ticks)
        with contextlib.suppress(OSError):
            os.truncate(self._path, self._size)

    def release(self) -> None:
        """Give everything back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def disk_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, is a full disk or an exhausted quota."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False
