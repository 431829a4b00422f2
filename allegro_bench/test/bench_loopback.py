"""A measuring process that is a thread, for tests of what a process survives: starting Python takes a second."""

import contextlib
import os
import socket
import threading
from multiprocessing.connection import Connection

from allegro_bench.running.child import Child
from allegro_bench.running.worker import Worker


class Loopback(Worker):
    """See :class:`allegro_bench.running.worker.Worker`."""

    def __init__(self, buffers=()):
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        far = Connection(theirs.detach())
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()
        self.pid = os.getpid()

    @staticmethod
    def _serve(far):
        with far, contextlib.suppress(OSError):  # the parent hung up within a block, as it does to a process
            Child(far).serve()

    def kill(self):
        self._connection.close()

    close = kill
