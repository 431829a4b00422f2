"""What leaves for a hand: decisions in the right mode, and zero torque by all means. Control thread only."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from allegro_description.errors import CommandRefused, LinkError

from allegro_driver.control.orders import Decision
from allegro_driver.hardware.base import Hardware


class Outlet:
    """Knows which mode the hand was put in, and whether it was halted."""

    def __init__(self, hardware: Hardware, joints: int) -> None:
        """Take the way out; nothing is sent yet."""
        self._hardware, self._zero = hardware, np.zeros(joints)
        self._onboard = False
        self.halted = False

    def begin(self) -> None:
        """A new session: torque mode, not halted."""
        self._onboard = self.halted = False

    def enable(self, on: bool) -> None:
        """Torque mode with zero torque, servo on or off.

        Raises:
            LinkError: enabling could not be sent.
        """
        self._hardware.enable(on)
        self._onboard = False

    def send(self, decision: Decision) -> None:
        """The mode always first: the hand's own loop takes torques for angles, and zero torque for "go to 0°".

        Raises:
            LinkError: it did not leave this machine.
        """
        hardware = self._hardware
        if decision.onboard:
            if not self._onboard:
                self._onboard = True  # from here on, even if sending fails
                hardware.position_mode(True)
            if decision.target is not None:
                hardware.write_targets(decision.target)
            return
        if self._onboard:
            hardware.position_mode(False)
            self._onboard = False
        try:
            hardware.write(decision.effort)
        except CommandRefused:  # a halt did not get through, so that the hand's own position loop may still be on
            hardware.halt()

    def halt(self) -> None:
        """Zero torque, then everything off; errors ignored."""
        if not self._onboard:
            with suppress(LinkError, CommandRefused):  # at once: switching off in good order takes some milliseconds
                self._hardware.write(self._zero)
        self._hardware.halt()
        self._onboard, self.halted = False, True

    def insist(self) -> None:
        """Zero torque once more with one packet; errors ignored."""
        try:
            self._hardware.write(self._zero)
        except CommandRefused:  # the hand's own position loop may still be on
            self._hardware.halt()
        except LinkError:
            pass
