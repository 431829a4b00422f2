"""What every emulated controller has: identity, starting anew, and measurements that may be frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.emulator.body import HandBody
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.protocol.v5b2_payloads import Serial

HAND_FAULTS = frozenset({
    'stale', 'freeze', 'ignore_requests', 'restart', 'wrong_side', 'blank_serial', 'zero_offset',
})
"""Faults that every hand can have."""
TAXEL_FAULTS = frozenset({'dead_taxel', 'saturated_taxel', 'taxel_invalid'})

_NO_READING_PA = 1e12   # codecs saturate it


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a firmware is built around.

    Attributes:
        model: the hand.
        body: its motors and sensors.
        faults: what goes wrong.
        config: period and switches.
        serial: serial number, up to 8 ASCII characters.
        side_at: place of R or L in it.
    """

    model: HandModel
    body: HandBody
    faults: FaultSet
    config: EmulatorConfig
    serial: str
    side_at: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One set of measurements as the sensors say them; torque in wire units."""

    position: Array
    velocity: Array
    torque: Array
    tactile: Array
    temperature: Array


class BaseFirmware:
    """Common part of the firmwares; see :class:`.seams.Firmware`."""

    has_servo = False
    """Whether motors are off after power-on until the host switches them on."""

    def __init__(self, parts: Parts) -> None:
        """Power on.

        Raises:
            ProtocolError: the serial number is not up to 8 ASCII characters.
        """
        Serial(parts.serial).to_payload()
        self.model, self.body, self.faults, self.config = parts.model, parts.body, parts.faults, parts.config
        self.serial, self._side_at = parts.serial, parts.side_at
        self._deaf_until_ms = -1
        self._frozen: Measured | None = None
        self.sample = 0
        self.restarts = self.foreign = 0
        self._idle_s = 0.0
        self.body.servo = not self.has_servo

    @property
    def device_number(self) -> int:
        """0: no device numbers here."""
        return 0

    def step(self, now_ms: int) -> None:
        """Advance by one period; a restart begins here."""
        pause_s = self.faults.take_restart()
        if pause_s is not None:
            self._deaf_until_ms = now_ms + round(1000.0 * pause_s)
            self.restarts += 1
            self.reboot()
        self.body.step(now_ms)
        self._idle_s = 0.0 if self.body.applied.any() else self._idle_s + self.body.world.period_s
        self.sample = (self.sample + 1) & 0xFFFFFFFF

    def reboot(self) -> None:
        """Forget everything that is not stored for good."""
        self.body.reboot(servo=not self.has_servo)
        self.sample = 0
        self._frozen = None

    def deaf(self, now_ms: int) -> bool:
        """Whether the hand is still starting."""
        return now_ms < self._deaf_until_ms

    def measured(self) -> Measured:
        """What the sensors say now, or said when fault ``freeze`` began."""
        if 'freeze' not in self.faults:
            self._frozen = None
        if self._frozen is not None:
            return self._frozen
        body = self.body
        now = Measured(body.position.copy(), body.world.velocity.copy(), body.applied.copy(), body.tactile.copy(),
                       body.temperature.copy())
        if 'freeze' in self.faults:
            self._frozen = now
        return now

    def told_serial(self) -> str:
        """The serial number as it is told."""
        return self.faults.serial(self.serial, self._side_at)

    def status(self) -> dict[str, Any]:
        """State for the control interface."""
        body, unit = self.body, self.model.actuation.unit
        torque = body.torque.tolist()
        return {
            'serial': self.serial, 'sample': self.sample, 'restarts': self.restarts, 'foreign': self.foreign,
            'servo': body.servo, 'hinf': body.positioning, 'gravity_rpy_cdeg': list(body.gravity_rpy),
            'calibrations': body.calibrations, 'beyond_clamp': body.beyond_clamp,
            'idle_s': round(self._idle_s, 4),
            'torque': torque, 'torque_unit': unit, **({'current_ma': torque} if unit == 'mA' else {}),
            'temperature_c': [round(t, 2) for t in body.temperature.tolist()],
        }


def without_nan(pressure: Array) -> Array:
    """Readings for fields that have no mark for "no reading": there it is the largest value."""
    return np.nan_to_num(pressure, nan=_NO_READING_PA)
