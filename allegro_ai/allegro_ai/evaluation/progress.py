"""A progress bar on standard error; where nobody watches, a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

QUIET_EVERY_S = 30.0


class Bar:
    """Counts episodes. Use it as a context manager."""

    def __init__(self, what: str) -> None:
        """Name what is counted."""
        self._what, self._bar, self._told = what, None, time.monotonic()
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int, text: str = '') -> None:
        """Tell how far it is."""
        if self._live and (bar := self._made(total)) is not None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
        elif done == total or time.monotonic() - self._told > QUIET_EVERY_S:
            self._told = time.monotonic()
            print(f'{self._what}: {done}/{total} episodes{"  " + text if text else ""}', file=sys.stderr, flush=True)

    def _made(self, total: int) -> Any:
        if self._bar is None:
            try:
                from tqdm import tqdm
            except ImportError:
                self._live = False
                return None
            self._bar = tqdm(total=total, desc=self._what, unit='episode', smoothing=0.1, dynamic_ncols=True)
        return self._bar
