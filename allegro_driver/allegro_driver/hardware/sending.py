"""How units leave for a hand: at once and watched by the guardian, or spaced because nothing is acknowledged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from allegro_description.errors import LinkError

from allegro_driver.link.base import Link
from allegro_driver.link.guardian import Guardian

Unit = TypeVar('Unit')


class Sending(Generic[Unit]):
    """The ways out over one link."""

    def __init__(self, link: Link[Unit], guardian: Guardian, gap_s: float) -> None:
        """Prepare.

        Args:
            link: where units go.
            guardian: is told about torque.
            gap_s: pause after each unit that must not be lost, s.
        """
        self._link, self._guardian, self._gap_s = link, guardian, gap_s

    def push(self, units: Sequence[Unit], *, flows: bool) -> None:
        """Send torque or targets, and tell the guardian before that torque flows, or no longer does.

        Raises:
            LinkError: they did not leave this machine, or the guardian has ended the torque in the meantime.
        """
        self._guardian.torque_flows(flows)
        for unit in units:
            if flows:
                self._guardian.require_inactive()  # each time: it may be between two frames
            self._link.send(unit)

    def spaced(self, units: Sequence[Unit]) -> None:
        """Send with pauses.

        Raises:
            LinkError: one did not leave this machine; those after it were not sent.
        """
        for unit in units:
            self._link.send(unit)
            time.sleep(self._gap_s)

    def each(self, units: Sequence[Unit]) -> None:
        """Send with pauses whatever gets through; errors ignored."""
        for unit in units:
            with suppress(LinkError):  # each for itself: the next one may get through
                self._link.send(unit)
            time.sleep(self._gap_s)
