"""The firmware of an emulated Plexus on CAN.

Behaviour where sources are silent (UNVERIFIED): it starts in the position mode (the vendor's default), holding its
pose, with the bound that hosts have to keep as current limit; targets are remembered while the system is off; a mode
number that is in neither of the vendor's tables changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allegro_driver.emulator.can_firmware import CAN_FAULTS, CanFirmware, Frames, Stream
from allegro_driver.emulator.firmware import Parts
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_commands import Command, Reading
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.plexus_can_hand import PlexusCanHand
from allegro_driver.protocol.plexus_messages import POSITION_MODE, TORQUE_MODE

PLEXUS_FAULTS = CAN_FAULTS | {'info_fault'}
PATH_RATE = 15.0        # rad/s, ASSUMED: natural frequency of the critically damped approach to a target
TOO_WARM = 0x04         # bit of the joint status


class PlexusFirmware(CanFirmware):
    """Implements :class:`.seams.Firmware` for frames."""

    codec: PlexusCanHand

    def __init__(self, parts: Parts, codec: PlexusCanHand) -> None:
        """See :class:`.can_firmware.CanFirmware`."""
        super().__init__(parts, codec)
        self.streams = {
            'position': Stream(self.position_frames),
            'velocity': Stream(lambda: codec.velocity(self.measured().velocity)),
            'current': Stream(lambda: codec.current(self.measured().torque)),
            'imu': Stream(lambda: (codec.imu(),)),
            'temperature': Stream(lambda: codec.temperature(self.measured().temperature)),
        }
        self._answers |= {
            Reading.VELOCITY: lambda: codec.velocity(self.measured().velocity),
            Reading.CURRENT: lambda: codec.current(self.measured().torque),
        }
        table = str(codec.switches['mode_table'])
        self._modes = {POSITION_MODE.get(table): True, TORQUE_MODE[table]: False}
        self._start()

    def obey(self, command: Command, now_ms: int) -> Frames:
        """Do what a command says; pose frames count in the position mode only."""
        body, codec = self.body, self.codec
        if isinstance(command, do.Torque):
            joints, counts = codec.joints.slices[command.finger], np.array(command.counts, dtype=np.float64)
            if body.positioning:
                body.loop.limit[joints] = np.minimum(np.abs(counts), self.model.clamp[joints])
            else:
                body.command_torque(counts, now_ms, joints)
        elif isinstance(command, do.SetPose) and body.positioning:
            body.command_targets(codec.targets(command), now_ms, codec.joints.slices[command.finger])
        elif isinstance(command, do.SetPlexusPeriod):
            self.set_periods(position=command.position_ms, velocity=command.velocity_ms, current=command.current_ms,
                             imu=command.imu_ms, temperature=command.temperature_ms)
        elif isinstance(command, do.ConfigMode):
            body.set_positioning(self._modes.get(command.mode, body.positioning))
        return super().obey(command, now_ms)

    def info(self) -> CanFrame:
        """Versions, side, temperature of the hub, joint status."""
        body = self.body
        return self.codec.info(
            0x0100, 0x0100, palm_c=min(round(body.palm_c), 255), status=int(body.servo),
            joint_status=self.faults.info_bits() | (TOO_WARM if body.hot else 0),
            side=self.faults.side(self.model.side))

    def reboot(self) -> None:
        """Forget everything but device number and encoder zeros."""
        super().reboot()
        self._start()

    def status(self) -> dict[str, Any]:
        """State for the control interface."""
        return {**super().status(), 'current_limit_ma': self.body.loop.limit.tolist()}

    def _start(self) -> None:
        self.body.loop.limit = np.array(self.model.clamp)
        self.body.set_positioning(True)
