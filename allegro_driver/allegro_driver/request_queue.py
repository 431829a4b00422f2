"""Requests of other threads that the control thread serves between two samples: switching torque, clearing faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait

from allegro_description.errors import AllegroError, CommandRefused

LONGEST_S = 15.0
"""How long a request may take: opening a session anew is tries times timeout, twice."""


class RequestQueue:
    """Any thread asks, one thread serves."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], str], Future[str]]] = deque()

    def ask(self, request: Callable[[], str]) -> str:
        """Let the serving thread call ``request``; return what it returns, or raise what it raises.

        Raises:
            CommandRefused: it does not serve in time, or it has stopped.
        """
        future: Future[str] = Future()
        self._waiting.append((request, future))
        if not wait([future], LONGEST_S).done:
            future.cancel()  # too late is never
            raise CommandRefused('the control loop does not answer')
        return future.result()

    def serve(self) -> None:
        """Call what waits. Errors go to whoever asked; those that are no :class:`AllegroError` are raised here, too."""
        while self._waiting:
            request, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(request())
            except Exception as error:
                future.set_exception(error)
                if not isinstance(error, AllegroError):
                    raise

    def refuse(self, reason: str) -> None:
        """Answer everything that waits with a refusal."""
        while self._waiting:
            future = self._waiting.popleft()[1]
            if future.set_running_or_notify_cancel():
                future.set_exception(CommandRefused(reason))
