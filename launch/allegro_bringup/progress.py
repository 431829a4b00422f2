"""What a person sees while a run goes on: lines that stay, and one status line that changes."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

_QUIET_EVERY_S = 10.0


class Progress:
    """Writes to a terminal, or to a pipe, where the status is a line of its own every ten seconds."""

    def __init__(self, out: TextIO) -> None:
        """Write to ``out``."""
        self._out = out
        self._live = out.isatty()
        self._shown = ''
        self._last = 0.0

    def line(self, text: str = '') -> None:
        """Write a line that stays."""
        self._clear()
        self._write(f'{text}\n')

    def status(self, text: str) -> None:
        """Replace the status line."""
        now = time.monotonic()
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            if text[:width] != self._shown:
                self._clear()
                self._shown = text[:width]
                self._write(self._shown)
        elif now - self._last >= _QUIET_EVERY_S:
            self._last = now
            self._write(f'{text}\n')

    def _clear(self) -> None:
        if self._shown:
            self._write('\r\x1b[K')
            self._shown = ''

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # The reader of a pipe went away; the hand must still be stopped in order.
            pass


def bar(done: float, total: float, width: int = 24) -> str:
    """Return a progress bar, ``[######------]``; without a total, an empty string."""
    if total <= 0.0:
        return ''
    filled = min(width, max(0, round(width * done / total)))
    return f'[{"#" * filled}{"-" * (width - filled)}]'


def table(rows: list[tuple[str, str]]) -> str:
    """Return two aligned columns."""
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'  {name:<{width}}  {value}' for name, value in rows)
