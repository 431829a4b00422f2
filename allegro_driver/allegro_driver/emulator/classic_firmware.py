"""The firmware of emulated V4, V5, V5 3-finger and V5 Sense hands on CAN.

Behaviour where sources are silent (UNVERIFIED) has a setting, or is that of :mod:`.can_firmware`. Besides: V4 sends
INFO as its fourth stream ("status"); a joint that becomes too warm makes a V5 send one error frame and goes on.
"""

from __future__ import annotations

import numpy as np
from allegro_description.model import HandModel

from allegro_driver.emulator.can_firmware import CAN_FAULTS, CanFirmware, Frames, Stream
from allegro_driver.emulator.firmware import TAXEL_FAULTS, Parts, without_nan
from allegro_driver.protocol import can_commands as do
from allegro_driver.protocol.can_commands import Command, Reading
from allegro_driver.protocol.can_frames import CanFrame
from allegro_driver.protocol.classic_can_hand import V4CanHand, V5CanHand, V5FamilyHand
from allegro_driver.protocol.v5_sense_can_hand import V5SenseCanHand

OVERHEATING = 0x04        # bit of the V5's error byte
V4_TOO_WARM = 0x02        # bit of the V4's status
ClassicHand = V4CanHand | V5CanHand | V5SenseCanHand


class ClassicFirmware(CanFirmware):
    """V4, V5, V5 3-finger and V5 Sense on CAN: :class:`.seams.Firmware` for frames."""

    codec: ClassicHand

    def __init__(self, parts: Parts, codec: ClassicHand) -> None:
        """See :class:`CanFirmware`."""
        super().__init__(parts, codec)
        config = parts.config
        self.streams = {
            'position': Stream(self._cycle), 'imu': Stream(lambda: (codec.imu(),)),
            'temperature': Stream(self._temperature), 'status': Stream(lambda: (self.info(),)),
        }
        v4 = isinstance(codec, V4CanHand)
        self._old_tips = config.fingertip_ids == 'old'
        self._needs_servo = config.stream_needs_servo == 'yes' or (config.stream_needs_servo == 'auto' and not v4)
        self._temperatures = config.temperatures == 'yes' or (config.temperatures == 'auto' and v4)
        self._complained: set[int] = set()

    def obey(self, command: Command, now_ms: int) -> Frames:
        """Do what a command says. Poses, picks and the serial port's bit rate have no effect."""
        body, codec = self.body, self.codec
        if isinstance(command, do.Torque):
            joints = codec.joints.slices[command.finger]
            if body.positioning:
                body.command_targets(codec.targets(command), now_ms, joints)
            else:
                body.command_torque(np.array(command.counts, dtype=np.float64), now_ms, joints)
        elif isinstance(command, do.SetPeriod):
            self.set_periods(position=command.position_ms, imu=command.imu_ms, temperature=command.temperature_ms,
                             status=command.status_ms or 0)
        elif isinstance(command, do.HinfMode):
            body.set_positioning(command.on)
        elif isinstance(command, do.GravityRpy):
            body.gravity_rpy = (round(100 * command.roll), round(100 * command.pitch), round(100 * command.yaw))
        elif isinstance(command, do.Calibrate) and isinstance(codec, V5FamilyHand):
            body.calibrate()
            return (codec.calibration_done(),) if self.config.calibration_reply == 'yes' else ()
        return super().obey(command, now_ms)

    def answers(self, reading: Reading) -> bool:
        """Info and temperatures by their switches, everything else."""
        if reading is Reading.INFO:
            return self.config.answers_info == 'yes'
        return self._temperatures or reading is not Reading.TEMPERATURE

    def info(self) -> CanFrame:
        """Versions; of a V4 also side, palm temperature and status."""
        codec, body = self.codec, self.body
        if isinstance(codec, V4CanHand):
            faults = self.faults.info_bits() | (V4_TOO_WARM if body.hot else 0)
            return codec.info(0x0402, 0x0406, servo=body.servo, palm_c=min(round(body.palm_c), 255), faults=faults,
                              side=self.faults.side(self.model.side))
        return codec.info(0x0101, 0x0101 if self._old_tips else 0x0102)

    def complaints(self) -> list[CanFrame]:
        """Error frames: those asked for, and one for each joint that has become too warm."""
        codec = self.codec
        if not isinstance(codec, V5FamilyHand):
            return []
        hot = set(self.body.hot)
        base = int(codec.switches['error_motor_base'])
        errors = [*self.faults.take_motor_errors(),
                  *((base + joint, OVERHEATING) for joint in sorted(hot - self._complained))]
        self._complained = hot
        return [codec.error(motor, code) for motor, code in errors]

    def _cycle(self) -> list[CanFrame]:
        if self._needs_servo and not self.body.servo:
            return []
        codec, frames = self.codec, self.position_frames()
        if isinstance(codec, V5SenseCanHand):
            now = self.measured()
            return [*codec.current(now.torque), *frames, *codec.tactile(now.tactile)]
        if isinstance(codec, V5CanHand):
            tips = codec.fingertips(without_nan(self.measured().tactile), 'old' if self._old_tips else 'new')
            return [*frames, *tips]
        return frames

    def _temperature(self) -> Frames:
        return self.codec.temperature(self.measured().temperature) if self._temperatures else ()


def classic_faults(model: HandModel, codec: ClassicHand) -> frozenset[str]:
    """Faults that this kind of hand can have."""
    faults = CAN_FAULTS | (TAXEL_FAULTS if model.taxels else frozenset())
    return faults | ({'motor_error', 'wrong_type'} if isinstance(codec, V5FamilyHand) else {'info_fault'})
