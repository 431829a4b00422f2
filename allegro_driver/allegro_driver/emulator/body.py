"""The body of an emulated hand, the same behind every protocol: motors, encoders, mode, temperatures.

Behaviour where sources are silent, each the worse or the neutral case for a host: the last torques act for ever
(``watchdog_ms`` changes that) and survive a servo that is switched off and on; torques beyond the bound that hosts
have to keep are cut there, and counted; entering the position loop holds the present pose until targets come; leaving
it sets the torques to zero; gravity angles are stored and have no effect.
"""

from __future__ import annotations

import math

import numpy as np
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.position_loop import PositionLoop
from allegro_driver.emulator.thermal import HOT_C, TIME_CONSTANT_S, Motors
from allegro_driver.emulator.world import World

ALL = slice(None)
_QUARTER_JOINT = 13


class HandBody:
    """Torques are in the unit of the hand's torque field (mA, PWM), canonical order.

    Attributes:
        world: the physics.
        faults: encoder and sensor faults that :meth:`encoders` and others apply.
        torque: last torques commanded, or set by the position loop.
        servo: whether the motors are switched on.
        positioning: whether the position loop is on.
        loop: that loop.
        gravity_rpy: as told by the host, 0.01°.
        calibrations, beyond_clamp: how often encoders were zeroed, and how many torque commands left the bound.
    """

    def __init__(
        self, model: HandModel, world: World, faults: FaultSet, *, watchdog_ms: float = 0.0,
        thermal_s: float = TIME_CONSTANT_S, path_rate: float = 0.0,
    ) -> None:
        """Power on: torques zero, torque mode, motors on.

        Args:
            model: the hand.
            world: its physics.
            faults: see the class.
            watchdog_ms: torques become zero when none was commanded for so long; 0: never.
            thermal_s: time constant of the motors' temperature, s.
            path_rate: see :class:`.position_loop.PositionLoop`.
        """
        self.world, self.faults = world, faults
        self._model = model
        self._watchdog_ms = watchdog_ms
        self._commanded_ms = 0
        self._offset: Array = np.zeros(len(model.joints))
        self._motors = Motors(model.clamp, thermal_s)
        self.torque: Array = np.zeros(len(model.joints))
        self.servo, self.positioning = True, False
        self.loop = PositionLoop(model, world.position, path_rate)
        self.gravity_rpy = (0, 0, 0)
        self.calibrations = self.beyond_clamp = 0

    # Commands ------------------------------------------------------------------------------------------------------

    def command_torque(self, values: Array, now_ms: int, joints: slice = ALL) -> None:
        """Set the torques of some joints, wire units."""
        self._commanded_ms = now_ms
        clamp = self._model.clamp[joints]
        cut = np.clip(values, -clamp, clamp)
        self.beyond_clamp += bool((cut != values).any())
        self.torque = self.torque.copy()
        self.torque[joints] = cut

    def command_targets(self, angles: Array, now_ms: int, joints: slice = ALL) -> None:
        """Set targets of the position loop for some joints, rad, as the encoders count."""
        self._commanded_ms = now_ms
        self.loop.targets[joints] = angles - self._offset[joints]

    def set_positioning(self, on: bool) -> None:
        """Switch the position loop."""
        if on and not self.positioning:
            self.loop.hold(self.world.position)
        if self.positioning and not on:
            self.torque = np.zeros_like(self.torque)
        self.positioning = on

    def calibrate(self) -> None:
        """Take the present pose as zero, joint 13 of a four-finger hand as 90° (vendor)."""
        self._offset = -self.world.position
        if len(self._offset) > _QUARTER_JOINT:
            self._offset[_QUARTER_JOINT] += math.pi / 2
        self.calibrations += 1

    def reboot(self, servo: bool) -> None:
        """Start anew: no torque, torque mode; encoder zeros are kept."""
        self.torque = np.zeros_like(self.torque)
        self.servo, self.positioning, self.gravity_rpy = servo, False, (0, 0, 0)

    # Time ------------------------------------------------------------------------------------------------------------

    def step(self, now_ms: int) -> None:
        """Advance the world by one period under the torques of the moment."""
        world = self.world
        if self._watchdog_ms and now_ms - self._commanded_ms > self._watchdog_ms and not self.positioning:
            self.torque = np.zeros_like(self.torque)
        if self.positioning:
            self.torque = self.loop.torque(world.position, world.velocity, world.period_s)
        world.step(self.applied / self._model.per_nm)
        self._motors.step(self.applied, world.period_s)

    # What sensors say ------------------------------------------------------------------------------------------------

    @property
    def applied(self) -> Array:
        """Torques that act now, wire units."""
        return self.torque if self.servo else np.zeros_like(self.torque)

    @property
    def encoders(self) -> Array:
        """Joint angles as the encoders give them after calibration, rad, (n_joints,)."""
        return self.world.position + self._offset

    @property
    def position(self) -> Array:
        """The same with encoder faults."""
        return self.faults.position(self.encoders)

    @property
    def tactile(self) -> Array:
        """Taxel readings with sensor faults, Pa, (n_taxels,)."""
        return self.faults.tactile(self.world.pressure)

    @property
    def temperature(self) -> Array:
        """Joint temperatures as they read, °C, (n_joints,)."""
        return self.faults.temperature(self._motors.celsius)

    @property
    def palm_c(self) -> float:
        """Temperature of the electronics as it reads, °C."""
        return float(self.faults.temperature(np.array([self._motors.palm_c]))[0])

    @property
    def hot(self) -> list[int]:
        """Joints that complain of their temperature."""
        return [int(j) for j in np.flatnonzero(self.temperature >= HOT_C)]
