"""A hand without a wire: everything the control loop may ask of hardware, with its mistakes set from outside.

Samples come by a clock of its own. Joints move at 0.01 rad/s per mA, or towards targets while the position loop is on.
As in a real hand, that loop takes whatever it is sent for angles, zero torque included: :attr:`trap` counts it. As V5
hands do, the stand-in is silent after a halt until it is opened anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from allegro_description.errors import CommandRefused, LinkError, LinkTimeout
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState
from allegro_driver.hardware.base import Alarm, AlarmKind, Identity


class StandIn:
    def __init__(self, model: HandModel, *, onboard: bool = True, period_s: float = 0.003, settle_s: float = 0.02):
        self.model, self.period_s, self.skipped = model, period_s, 0
        self._onboard, self._settle_s = onboard, settle_s
        self.position = np.clip(model.pose('home'), model.lower, model.upper).copy()
        self.velocity = np.zeros(len(model.joints))
        self.effort: Array = np.zeros(len(model.joints))
        self.target: Array | None = None
        self.temperature: Array | None = None
        self.told = Identity('STANDIN', model.side, 'none')
        self.paused = self.broken = self.raises = False
        self.refuse_mode_off = 0
        self.alarms: list[Alarm] = []
        self.log: list[str] = []
        self.efforts: list[Array] = []
        self.targets: list[tuple[float, Array]] = []
        self.mode_since = 0.0
        self.trap = 0
        self.opened = self.positioning = self.halted = False
        self._due, self._count = 0.0, 0

    @property
    def identity(self) -> Identity:
        return self.told

    @property
    def onboard_position(self) -> bool:
        return self._onboard

    @property
    def settle_s(self) -> float:
        return self._settle_s

    def open(self) -> Identity:
        self._alive()
        if not self.opened:
            self.log.append('open')
            self.opened, self.positioning, self.halted = True, False, False
            self.effort = np.zeros_like(self.effort)
        return self.told

    def read(self, timeout_s: float) -> HandState:
        self._alive()
        if self.raises:
            self.raises = False
            raise ZeroDivisionError('a mistake of ours')
        now = time.monotonic()
        self._due = max(self._due + self.period_s, now)
        wait = self._due - now
        if self.paused or self.halted or wait > timeout_s:
            time.sleep(timeout_s)
            raise LinkTimeout('the stand-in is silent')
        time.sleep(max(wait, 0.0))
        if self.positioning and self.target is not None:
            self.position = self.position + np.clip(self.target - self.position, -0.02, 0.02)
        elif not self.positioning:
            self.position = self.position + 0.01 * self.model.per_nm * self.effort * self.period_s
        self._count += 1
        return HandState(
            time.monotonic_ns(), self._count, self.position, self.velocity, self.effort * self.model.per_nm, None,
            self.temperature)

    def write(self, effort: Array) -> None:
        self._alive()
        if self.positioning:
            self.trap += 1
            raise CommandRefused('torques would be taken for angles')
        self.effort = effort.copy()
        self.efforts.append(self.effort)
        self.log.append('torque' if effort.any() else 'zero')

    def position_mode(self, on: bool) -> None:
        self._alive()
        if not on and self.refuse_mode_off:
            self.refuse_mode_off -= 1
            raise LinkError('the mode packet was lost')
        self.positioning, self.mode_since = on, time.monotonic()
        self.effort, self.target = np.zeros_like(self.effort), None
        self.log.append('mode on' if on else 'mode off')

    def write_targets(self, position: Array) -> None:
        self._alive()
        if not self.positioning:
            raise CommandRefused('the loop is off')
        self.target = position.copy()
        self.targets.append((time.monotonic(), self.target))
        self.log.append('target')

    def enable(self, on: bool) -> None:
        if on:
            self._alive()
            self.position_mode(False)
            self.log.append('enable')
        else:
            self._off()
            self.log.append('disable')

    def halt(self) -> None:
        self._off()
        self.halted = True
        self.log.append('halt')

    def take_alarms(self) -> tuple[Alarm, ...]:
        alarms, self.alarms = tuple(self.alarms), []
        return alarms

    def counts(self) -> Mapping[str, int]:
        return {'samples_skipped': self.skipped}

    def close(self) -> None:
        if self.opened:
            self._off()
            self.log.append('close')
        self.opened = False

    def complain(self, text: str) -> None:
        self.alarms.append(Alarm(AlarmKind.MOTOR, text))

    def _off(self) -> None:
        if self.broken:
            return
        for _ in range(5):
            if self.positioning:
                if self.refuse_mode_off:
                    self.refuse_mode_off -= 1
                else:
                    self.position_mode(False)
        if not self.positioning:
            self.effort = np.zeros_like(self.effort)

    def _alive(self) -> None:
        if self.broken:
            raise LinkError('the stand-in is unplugged')
