"""What a policy sees: named terms in SI units, built by the same code in training and on the hand.

Everything is batch first: a training task passes ``(n_envs, …)``, the node passes a batch of one. One
:class:`ObservationBuilder` holds the memory of the derived terms (differences, hysteresis, event trace), so the
training environment and the node cannot drift apart.

**Pairing.** The observation of step ``t + 1`` is paired with the target of step ``t``: the state must have been
measured *after* that target was sent. Give :meth:`ObservationBuilder.update` the time at which the target was issued
and it refuses an older measurement (a skew of one control step is otherwise invisible and shifts every tracking
error by 20 ms).

**Masking.** A tip without a valid reading shows zero pressure, zero rate and no contact, and ``tactile_valid`` 0;
the first reading after a gap has rate 0. A policy can tell "nothing there" from "nothing known" by ``tactile_valid``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.config import parameter
from allegro_description.errors import AllegroError, UnknownName
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.action import all_finite

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Observation = dict[str, NDArray[np.float32]]

GRIP_CLASSES = ('fragile', 'normal', 'robust')
PA_PER_KPA = 1000.0


class ObservationError(AllegroError, ValueError):
    """A measurement that no policy may act on: not finite, of the wrong shape, or older than the last command."""


@dataclass(frozen=True, slots=True)
class ObservationSpec:
    """Numbers of the derived touch terms. A policy bundle carries them, because training used them."""

    contact_on_kpa: float = parameter(1.5, 'pressure at which a tip starts to touch', unit='kPa', low=0.0, high=100.0)
    contact_off_kpa: float = parameter(1.0, 'pressure at which it stops to touch', unit='kPa', low=0.0, high=100.0)
    rate_floor_kpa: float = parameter(1.0, 'smallest denominator of the rate', unit='kPa', low=0.01, high=100.0)
    rate_clip: float = parameter(2.0, 'bound of the relative rate', unit='1/step', low=0.1, high=100.0)
    trace_decay: float = parameter(0.8, 'what remains of the event trace after one step', low=0.0, high=0.999)


@dataclass(frozen=True, slots=True)
class Term:
    """One named term.

    Attributes:
        name: name of the term and of the graph input.
        kind: semantic kind, e.g. ``joint/position``.
        unit: unit at the graph input.
        elements: one name per number, in order.
        source: the topic field or ``derived``.
        definition: how it is computed.
    """

    name: str
    kind: str
    unit: str
    elements: tuple[str, ...]
    source: str
    definition: str


def terms(model: HandModel) -> dict[str, Term]:
    """Every term this suite can build for a hand, by name.

    Joints are in canonical order; fingertips in the order of ``model.fingers`` (index, middle, ring, thumb).
    """
    joints = model.joint_names
    tips = tuple(model.taxels[i].name for i in model.tip_taxels)
    links = tuple(t.name for t in model.taxels if not t.tip)
    touch = 'tactile/points.pressure'
    table = (
        Term('joint_position', 'joint/position', 'rad', joints, 'joint_states.position', 'measured joint angle'),
        Term('joint_target', 'joint/target', 'rad', joints, 'derived', 'target of step t, seen at step t + 1'),
        Term('joint_target_error', 'joint/target_error', 'rad', joints, 'derived',
             'target of step t minus position of step t + 1: what the position loop turns into torque'),
        Term('joint_delta', 'joint/delta', 'rad/step', joints, 'derived', 'position minus position one step before'),
        Term('tactile_tip_pressure', 'tactile/pressure', 'kPa', tips, touch, 'above baseline, 0 where invalid'),
        Term('tactile_tip_rate', 'tactile/rate', '1/step', tips, 'derived',
             'pressure change of one step over max(pressure, rate_floor_kpa), bounded by rate_clip'),
        Term('tactile_tip_contact', 'tactile/contact', '0/1', tips, 'derived',
             'on above contact_on_kpa, off below contact_off_kpa'),
        Term('tactile_tip_trace', 'tactile/event_trace', '1/step', tips, 'derived',
             'max(|tactile_tip_rate|, trace_decay * trace one step before)'),
        Term('tactile_valid', 'tactile/valid', '0/1', tips, 'tactile/points.valid', '0: missing, stale or saturated'),
        Term('tactile_link_pressure', 'tactile/pressure', 'kPa', links, touch, 'as the tips, cells that are no tip'),
        Term('tactile_link_valid', 'tactile/valid', '0/1', links, 'tactile/points.valid', 'as tactile_valid'),
        Term('gravity_palm', 'imu/gravity', 'm/s^2', ('x', 'y', 'z'), 'gravity', 'in the palm frame, 0 where unknown'),
        Term('gravity_valid', 'imu/valid', '0/1', ('gravity',), 'gravity', '0: nobody says how the palm is turned'),
        Term('last_action', 'action/last', '1', joints, 'derived', 'action of step t, before scaling'),
        Term('grip_class', 'command/grip_class', '0/1', GRIP_CLASSES, 'parameter', 'one-hot: how delicate it is'),
    )
    return {term.name: term for term in table}


def element_names(model: HandModel, names: Iterable[str]) -> list[str]:
    """``term/element`` for each number of the named terms, in order.

    Raises:
        UnknownName: a term this suite does not build.
    """
    table = terms(model)
    result = []
    for name in names:
        if name not in table:
            raise UnknownName('observation term', name, table)
        result += [f'{name}/{element}' for element in table[name].elements]
    return result


class ObservationBuilder:
    """Turns measurements into the terms of :func:`terms`; keeps one memory per environment."""

    def __init__(self, model: HandModel, spec: ObservationSpec | None = None, batch: int = 1) -> None:
        """Prepare for ``batch`` hands that run side by side (1 on a robot)."""
        self.model = model
        self.spec = ObservationSpec() if spec is None else spec
        self.batch = batch
        self._cells = batch, len(model.taxels)
        self._tips = model.tip_taxels
        self._links = np.array([i for i, t in enumerate(model.taxels) if not t.tip], dtype=np.intp)
        n, k = len(model.joints), len(self._tips)
        self._position: Float = np.zeros((batch, n))
        self._pressure: Float = np.zeros((batch, k))
        self._valid: Mask = np.zeros((batch, k), dtype=bool)
        self._contact: Mask = np.zeros((batch, k), dtype=bool)
        self._trace: Float = np.zeros((batch, k))
        self._first: Mask = np.ones(batch, dtype=bool)
        self._fresh = True  # whether any of them is
        self._grip = np.zeros((batch, len(GRIP_CLASSES)), dtype=np.float32)
        self.set_grip('normal')

    def reset(self, which: Mask | None = None) -> None:
        """Forget the past of all environments, or of those where ``which`` (batch,) is true."""
        chosen: Any = slice(None) if which is None else which
        self._first[chosen] = self._fresh = True
        self._valid[chosen] = False
        self._contact[chosen] = False
        self._trace[chosen] = 0.0

    @property
    def memory(self) -> Mapping[str, NDArray[Any]]:
        """What the next step is compared with, (batch, …): position (rad), pressure (kPa), valid, contact, trace."""
        return {'position': self._position, 'pressure': self._pressure, 'valid': self._valid,
                'contact': self._contact, 'trace': self._trace}

    @property
    def grip(self) -> NDArray[np.float32]:
        """The grip class of each environment, one-hot, (batch, classes)."""
        return self._grip

    def set_grip(self, grip: str | Iterable[str]) -> None:
        """Set how delicate the object is: one class for all, or one for each environment.

        Raises:
            UnknownName: not one of ``GRIP_CLASSES``.
        """
        classes = [grip] * self.batch if isinstance(grip, str) else list(grip)
        for name in classes:
            if name not in GRIP_CLASSES:
                raise UnknownName('grip class', name, GRIP_CLASSES)
        self._grip = np.eye(len(GRIP_CLASSES), dtype=np.float32)[[GRIP_CLASSES.index(name) for name in classes]]

    def update(
        self,
        stamp_ns: int,
        position: Float,
        last_target: Float,
        pressure_pa: Float | None = None,
        valid: Mask | None = None,
        *,
        last_action: Float | None = None,
        issued_ns: int | None = None,
        gravity: Float | None = None,
        which: Mask | None = None,
    ) -> Observation:
        """Build the observation of one step. Call it exactly once per control step.

        Args:
            stamp_ns: when the joints were measured, ns.
            position: joint angles, rad, (batch, n_joints).
            last_target: target sent in the step before, rad, (batch, n_joints).
            pressure_pa: pressure above baseline of all taxels, Pa, (batch, n_taxels); None: no touch at all.
            valid: which of them can be trusted, (batch, n_taxels); None: all that are finite.
            last_action: action of the step before, (batch, n_joints); None: zeros.
            issued_ns: when ``last_target`` was sent, same clock as ``stamp_ns``; None: not checked.
            gravity: in the palm frame, m/s², (batch, 3), NaN where unknown; None: unknown.
            which: environments that take part, (batch,); the others keep their memory, and their values mean nothing.

        Returns:
            Every term, float32, (batch, elements).

        Raises:
            ObservationError: joint values that are not finite or of the wrong shape, or a measurement that is not
                younger than ``last_target``.
        """
        shape = self._position.shape
        position = _checked('joint positions', position, shape)
        last_target = _checked('last targets', last_target, shape)
        action = np.zeros(shape) if last_action is None else _checked('last actions', last_action, shape)
        if issued_ns is not None and stamp_ns <= issued_ns:
            raise ObservationError(
                f'joint state of {stamp_ns} ns is not younger than the target sent at {issued_ns} ns; '
                'wait for a new measurement instead of pairing old state with new target'
            )
        pressure, known = self._touch(pressure_pa, valid)
        tip, tip_valid = pressure.take(self._tips, 1), known.take(self._tips, 1)
        spec = self.spec
        delta = position - self._position
        if self._fresh:
            delta[self._first] = 0.0
        rate = (tip - self._pressure) / np.maximum(tip, spec.rate_floor_kpa)
        bounded = np.minimum(np.maximum(rate, -spec.rate_clip), spec.rate_clip)  # np.clip costs three times that
        rate = np.where(tip_valid & self._valid, bounded, 0.0)
        trace = np.maximum(np.abs(rate), spec.trace_decay * self._trace)
        threshold = np.where(self._contact, spec.contact_off_kpa, spec.contact_on_kpa)
        contact = tip_valid & (tip > threshold)
        if gravity is None:
            turn: Float = np.zeros((self.batch, 3))
            upright: Mask = np.zeros((self.batch, 1), dtype=bool)
        else:
            turn = np.asarray(gravity, dtype=np.float64)
            upright = np.asarray(np.isfinite(turn).all(axis=1, keepdims=True))
            turn = np.where(upright, turn, 0.0)
        if which is None:
            self._position, self._pressure, self._valid = position, tip, tip_valid
            self._contact, self._trace = contact, trace
            if self._fresh:
                self._first[:] = self._fresh = False
        else:
            for memory, value in ((self._position, position), (self._pressure, tip), (self._valid, tip_valid),
                                  (self._contact, contact), (self._trace, trace)):
                memory[which] = value[which]
            self._first[which] = False
            self._fresh = bool(self._first.any())
        values: Mapping[str, Any] = {
            'joint_position': position,
            'joint_target': last_target,
            'joint_target_error': last_target - position,
            'joint_delta': delta,
            'tactile_tip_pressure': tip,
            'tactile_tip_rate': rate,
            'tactile_tip_contact': contact,
            'tactile_tip_trace': trace,
            'tactile_valid': tip_valid,
            'tactile_link_pressure': pressure.take(self._links, 1),
            'tactile_link_valid': known.take(self._links, 1),
            'gravity_palm': turn,
            'gravity_valid': upright,
            'last_action': action,
            'grip_class': self._grip,
        }
        return {name: value.astype(np.float32) for name, value in values.items()}

    def _touch(self, pressure_pa: Float | None, valid: Mask | None) -> tuple[Float, Mask]:
        """Pressure in kPa with zeros where unknown, and what is known, (batch, n_taxels)."""
        shape = self._cells
        if pressure_pa is None:
            return np.zeros(shape), np.zeros(shape, dtype=bool)
        raw = np.asarray(pressure_pa, dtype=np.float64)
        if raw.shape != shape or (valid is not None and np.shape(valid) != shape):
            raise ObservationError(f'taxel pressures have shape {raw.shape}, need {shape}; one number per taxel')
        known = np.isfinite(raw)
        if valid is not None:
            known &= np.asarray(valid, dtype=bool)
        return np.where(known, raw, 0.0) / PA_PER_KPA, known


def _checked(what: str, values: Float, shape: tuple[int, ...]) -> Float:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ObservationError(f'{what} have shape {array.shape}, need {shape} (batch, joints)')
    if not all_finite(array):
        bad = sorted(set(np.argwhere(~np.isfinite(array))[:, 1].tolist()))
        raise ObservationError(f'{what} hold NaN or infinite values at joint indices {bad}; nothing was computed')
    return array
