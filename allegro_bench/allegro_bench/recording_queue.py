"""Between whoever receives messages and the disk: a slow disk fills memory up to a limit, then messages are counted.

Messages are taken in microseconds, a thread writes them. While the disk is as fast as the hand, the queue is all but
empty. When it hangs or is too slow, up to ``limit_bytes`` wait; what comes on top is dropped, newest first, and counted
by topic: a gap in the bag is then known to its last message. When the disk is full or gone, recording ends.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from allegro_description.errors import ConfigError, LinkError

from allegro_bench.bag_format import Qos
from allegro_bench.recording import BagWriter

_Item = tuple[str, bytes, int]


class RecordingQueue:
    """Writes to a bag in a thread of its own; every method may be called from any other one.

    Attributes:
        dropped: messages that found the queue full, by topic.
        refused: topics that cannot be recorded, with the reason.
        ended: why recording has ended; empty while it goes on.
        longest_write_s: longest time that the disk took, since :meth:`take_longest`.
    """

    def __init__(
        self, bag: BagWriter, *, flush_s: float = 0.5, limit_bytes: int = 64_000_000,
        room: Callable[[Path], str] = lambda folder: '',
    ) -> None:
        """Start the thread.

        Args:
            bag: from now on touched by the thread only.
            flush_s: how often what was written is completed: what ``kill -9`` may cost.
            limit_bytes: how much may wait.
            room: asked as often; a reason to end the recording, completely, or nothing.
        """
        self._bag, self._flush_s, self._limit, self._room = bag, flush_s, limit_bytes, room
        self._items: deque[_Item] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        self._waiting_bytes = 0
        self._longest_s = 0.0
        self._told = threading.Condition()
        self._closing = False
        self.dropped: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        self.ended = ''
        self._counts: dict[str, int] = {}
        self._size_bytes = 0
        self._thread = threading.Thread(target=self._run, name='bag writer', daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """Messages written, by topic."""
        return dict(self._counts)

    @property
    def size_bytes(self) -> int:
        """Size of the bag."""
        return self._size_bytes

    @property
    def waiting_bytes(self) -> int:
        """How much has been taken and not yet been written."""
        return self._waiting_bytes

    def take_longest(self) -> float:
        """Longest time, s, that the disk took for one write since this was last asked."""
        found, self._longest_s = self._longest_s, 0.0
        return found

    def declare(self, topic: str, type_name: str, digest: str, qos: list[Qos]) -> None:
        """Declare a topic before its first message."""
        self._job(lambda: self._bag.add_topic(topic, type_name, digest=digest, qos=qos), topic)

    def tell(self, facts: dict[str, str]) -> None:
        """Add facts to the metadata."""
        self._job(lambda: self._bag.tell(facts), '')

    def _job(self, work: Callable[[], None], topic: str) -> None:
        def job() -> None:
            try:
                work()
            except ConfigError as error:
                self.refused[topic] = str(error)

        with self._told:
            self._jobs.append(job)
            self._told.notify()

    def put(self, topic: str, data: bytes, received_ns: int) -> bool:
        """Take a message of a declared topic; False where it was dropped."""
        if self.ended or topic in self.refused:
            return False
        with self._told:
            if self._waiting_bytes + len(data) > self._limit:
                self.dropped[topic] += 1
                return False
            self._items.append((topic, data, received_ns))
            self._waiting_bytes += len(data)
            if len(self._items) == 1:
                self._told.notify()
        return True

    def close(self, timeout_s: float = 30.0) -> str:
        """Write what waits and complete the bag.

        Args:
            timeout_s: longest wait for the disk.

        Returns:
            What was not reached, in one sentence, or nothing.
        """
        with self._told:
            self._closing = True
            self._told.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return (f'the disk has not taken the last {self._waiting_bytes / 1e6:.1f} MB within {timeout_s:.0f} s; the '
                    f'bag is not complete, python -m allegro_bench.recording {self._bag.folder} completes it')
        return self.ended

    # In the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        flushed = time.monotonic()
        try:
            while True:
                with self._told:
                    if not self._items and not self._jobs and not self._closing:
                        self._told.wait(max(0.0, flushed + self._flush_s - time.monotonic()))
                    # Only so much at a time: the flush must not wait for a whole queue.
                    items = [self._items.popleft() for _ in range(min(len(self._items), 256))]
                    jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]
                    last = self._closing and not items and not jobs
                for job in jobs:
                    job()
                self._write(items)
                if time.monotonic() >= flushed + self._flush_s:
                    began = time.monotonic()
                    self._bag.flush()
                    flushed = time.monotonic()
                    self._longest_s = max(self._longest_s, flushed - began)
                    self._size_bytes = self._bag.size_bytes
                    reason = self._room(self._bag.folder)
                    if reason:
                        self._bag.close()
                        self.ended = reason
                        return
                if last:
                    break
            self._bag.close()
            self._size_bytes = self._bag.size_bytes
        except LinkError as error:
            self.ended = str(error)
        except OSError as error:
            self.ended = f'{self._bag.folder} is gone: {error.strerror}; recording ended'

    def _write(self, items: list[_Item]) -> None:
        for topic, data, received_ns in items:
            if topic not in self.refused:
                began = time.perf_counter()
                self._bag.write(topic, data, received_ns)
                self._longest_s = max(self._longest_s, time.perf_counter() - began)
            with self._told:
                self._waiting_bytes -= len(data)
        if items:
            self._counts = self._bag.counts
