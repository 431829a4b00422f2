"""How far a run is: a bar on standard error, or a line for each step where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """Counts the planned seconds of a run; a step that takes longer or shorter does not upset it."""

    def __init__(self, total_s: float, steps: int, *, quiet: bool = False) -> None:
        """Begin at nothing."""
        self._total, self._steps, self._done, self._number = total_s, steps, 0.0, 0
        self._quiet, self._began, self._bar = quiet, time.monotonic(), self._made(total_s, quiet)

    @staticmethod
    def _made(total: float, quiet: bool) -> Any:
        if quiet or not sys.stderr.isatty():
            return None
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm(total=round(total), unit='s', dynamic_ncols=True,
                    bar_format='{l_bar}{bar}| {elapsed}<{remaining} {postfix}')

    def begin(self, what: str) -> None:
        """Name the step that begins."""
        self._number += 1
        if self._bar is not None:
            self._bar.set_postfix_str(what)
        elif not self._quiet:
            print(f'[{self._number}/{self._steps}] {time.monotonic() - self._began:5.0f} s  {what}', file=sys.stderr,
                  flush=True)

    def end(self, seconds: float) -> None:
        """So many planned seconds are done."""
        self._done += seconds
        if self._bar is not None:
            self._bar.update(min(round(self._done), round(self._total)) - self._bar.n)

    def close(self) -> None:
        """Leave the line."""
        if self._bar is not None:
            self._bar.close()
