"""No meter. Energy is then unknown, and is never guessed from load or from a data sheet."""

from __future__ import annotations

from collections.abc import Mapping

from allegro_bench.meters.meter import Channel, Sample


class NoMeter:
    """The meter of a machine without one."""

    channels: tuple[Channel, ...] = ()
    guard_s = 3600.0
    on_request = True

    def __init__(self, reason: str = 'switched off: meter is none') -> None:
        """Remember why nothing is measured."""
        self.reason = reason

    def read(self) -> Mapping[str, Sample]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing to close."""
