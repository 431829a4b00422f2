"""A driver in a process of its own, heard and spoken to through its pipes."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


class Driver:
    """A child process that moves the hand, and what it says."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        """Start it."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            preexec_fn=_as_from_a_terminal)
        self.moving = False
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def hear(self, *events: str, seconds: float) -> dict[str, Any] | None:
        """Wait for one of these events; others are dropped."""
        end = time.monotonic() + seconds
        while True:
            try:
                said = self._said.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                return None
            if said['event'] in events:
                return said

    def tells_that_it_stood_still(self) -> bool:
        """Whether the reason of one of its faults is that."""
        said: dict[str, Any] | None = {}
        while said is not None and 'stood still' not in said.get('reason', ''):
            said = self.hear('fault', seconds=0.5)
        return said is not None

    def tell(self, word: str) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + '\n')
        self.process.stdin.flush()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors='replace').strip()[-300:]

    def helpers(self) -> list[int]:
        """Process ids of its children."""
        found: list[int] = []
        with suppress(OSError):
            for task in Path(f'/proc/{self.process.pid}/task').iterdir():
                with suppress(OSError):
                    found += map(int, (task / 'children').read_text().split())
        return found

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if text.startswith('{'):
                with suppress(ValueError):
                    self._said.put(json.loads(text))


def _as_from_a_terminal() -> None:
    """Ordinary signals: a shell's ``&`` ignores SIGINT and ``nohup`` SIGHUP, and children inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
