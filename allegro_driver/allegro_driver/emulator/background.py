"""An emulator in a thread of this process, for tests and examples; real sockets on free ports."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from allegro_description.config import from_mapping

from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.server import EmulatorServer


@contextlib.contextmanager
def running_emulator(faults: Iterable[str] = (), **settings: Any) -> Iterator[EmulatorServer[Any]]:
    """Serve a hand while the ``with`` block runs; ask the yielded server for ``address`` and ``control_port``.

    Args:
        faults: as on the command line, ``name[=value]``.
        settings: fields of :class:`EmulatorConfig`. Ports default to free ones and physics to ``simple``.

    Raises:
        AllegroError: a setting is not allowed, or a port is in use.
    """
    config = from_mapping(EmulatorConfig, {'port': 0, 'control_port': 0, 'physics': 'simple', **settings})
    with build_emulator(config, faults) as server:
        thread = threading.Thread(target=server.run, name='hand_emulator', daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(timeout=10.0)
