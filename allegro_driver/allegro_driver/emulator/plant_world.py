"""The MuJoCo world of the emulator: contacts, touch and one object, from the suite's own plant."""

from __future__ import annotations

import dataclasses

import numpy as np
from allegro_description.errors import AllegroError
from allegro_description.model import HandModel
from allegro_description.simulation.objects import ObjectSpec
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.tactile import TactileSensor, params_for
from allegro_description.state import Array


class PlantWorld:
    """A hand at rest in its zero pose, palm up, without an object until :meth:`place`."""

    def __init__(self, model: HandModel, period_s: float, seed: int = 0) -> None:
        """Compile the model; one step is one period."""
        self._model, self._period = model, period_s
        self._bare = Plant(model, timestep=period_s)
        self.plant = self._bare
        # One set of cells for the life of the process. What training draws as a defect is a fault on request here; the
        # wire brings its own delay and its own step.
        cells = dataclasses.replace(params_for(model), delay=(0.0, 0.0), quantum=0.0, dead_tip=0.0, dropout=0.0)
        self._sensor = TactileSensor(model, np.random.default_rng(seed), cells)
        self._pressure = self._sensor.sense(self.plant.taxel_forces, period_s)
        self._gravity = self.plant.gravity
        self.failures = 0

    @property
    def period_s(self) -> float:
        """Length of a step, s."""
        return self._period

    @period_s.setter
    def period_s(self, value: float) -> None:
        if value != self._period:
            self._period = value
            self._use_period(self._bare)
            self._use_period(self.plant)

    def _use_period(self, plant: Plant) -> None:
        plant.timestep = self._period
        plant.model.opt.timestep = self._period

    @property
    def position(self) -> Array:
        """Joint angles, rad."""
        return self.plant.position

    @property
    def velocity(self) -> Array:
        """Joint velocities, rad/s."""
        return self.plant.velocity

    @property
    def pressure(self) -> Array:
        """Taxel readings of the sensor model, baseline included, Pa."""
        return self._pressure

    @property
    def tip_forces(self) -> Array:
        """Normal force per fingertip, N."""
        return self.plant.tip_forces

    @property
    def gravity(self) -> Array:
        """Gravity in the palm frame, m/s²."""
        return self.plant.gravity

    def set_gravity(self, vector: Array) -> None:
        """Turn the world around the hand; an episode sets it for its time, afterwards this value returns.

        Raises:
            CommandRefused: not three finite numbers of at most 100 m/s².
        """
        self.plant.set_gravity(vector)
        self._gravity = self.plant.gravity

    def place(self, obj: ObjectSpec, xyz: Array, quat: Array) -> None:
        """Bring an object in the human's hand; it is lifted (at most 60 mm) until it does not touch the fingers.

        The joints keep their angles: nobody can move a real hand's fingers by starting an experiment.
        """
        plant = Plant(self._model, obj, timestep=self._period)
        position = self.plant.position
        for lift in range(31):
            plant.reset(position, (xyz + np.array([0.002 * lift, 0.0, 0.0]), quat))
            if plant.object_penetration < 0.0005:
                break
        self.plant = plant
        plant.set_gravity(self._gravity)

    def remove(self) -> None:
        """Take the object away; the joints keep their angles, gravity becomes what it was set to."""
        if self.plant.obj is None:
            return
        position = self.plant.position
        self.plant = self._bare
        self.plant.reset(position)
        self.plant.set_gravity(self._gravity)

    def step(self, effort: Array) -> None:
        """Advance one period. Should the simulation blow up, the hand restarts in its zero pose; counted."""
        self.plant.apply_torque(effort)
        try:
            self.plant.advance()
        except AllegroError:
            self.failures += 1
            self.plant = self._bare
            self.plant.reset(self._model.pose('zero'))
        self._pressure = self._sensor.sense(self.plant.taxel_forces, self._period)
