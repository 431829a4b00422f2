"""The simulated hand: MuJoCo behind SI values in canonical joint and taxel order.

The palm is fixed at the world origin, so every pose and force is in the palm frame. The same plant serves the
emulator (torque input, 3 ms, real time) and training (position input, 4 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from allegro_description.errors import AllegroError, CommandRefused, ConfigError
from allegro_description.mjcf import HUMAN, OBJECT, Physics, tip_sensor
from allegro_description.model import HandModel
from allegro_description.simulation.models import model_for
from allegro_description.simulation.objects import ObjectSpec
from allegro_description.state import Array

GRAVITY = 9.81                      # m/s²
PALM_UP = (-GRAVITY, 0.0, 0.0)      # gravity in the palm frame when the palm faces up, m/s²
# The human's hand that presents the object: a critically damped spring (ASSUMED: a relaxed arm).
HUMAN_STIFFNESS = 300.0             # N/m
HUMAN_IMPEDANCE = 0.9               # MuJoCo's d: the arm makes the object appear 1/(1-d) times heavier


@dataclass(frozen=True, slots=True, eq=False)
class Addresses:
    """Where the values of a hand lie in MuJoCo's arrays; the same for every plant of that hand that has an object.

    Attributes:
        position, velocity, actuator: of the joints, canonical order.
        taxels, tips: in ``sensordata``.
        body, object_position, object_velocity: of the object; -1 without one.
    """

    position: NDArray[np.intp]
    velocity: NDArray[np.intp]
    actuator: NDArray[np.intp]
    taxels: NDArray[np.intp]
    tips: NDArray[np.intp]
    body: int
    object_position: int
    object_velocity: int


class Plant:
    """One hand and at most one object.

    Attributes:
        hand: the hand model.
        obj: the object, or None.
        timestep: s.
        actuation: ``torque`` or ``position``.
        model, data: the MuJoCo objects, for renderers and batch steppers.
        addresses: where the hand's values lie in them.
    """

    def __init__(
        self,
        hand: HandModel,
        obj: ObjectSpec | None = None,
        *,
        timestep: float = 0.003,
        actuation: str = 'torque',
        physics: Physics | None = None,
    ) -> None:
        """Compile the model and reset to the hand's zero pose under palm-up gravity."""
        self.hand, self.obj, self.timestep, self.actuation = hand, obj, timestep, actuation
        self.model: Any = model_for(
            hand, obj, timestep=timestep, actuation=actuation, physics=physics or Physics())
        self.data: Any = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in hand.joint_names]
        self._q = np.array([int(j.qposadr[0]) for j in joints])
        self._v = np.array([int(j.dofadr[0]) for j in joints])
        self._u = np.array([self.model.actuator(name).id for name in hand.joint_names])
        self._touch = np.array([int(self.model.sensor(t.name).adr[0]) for t in hand.taxels], dtype=np.intp)
        at_tip = {t.finger: t.name for t in hand.taxels if t.tip}
        tips = [at_tip.get(f.name, tip_sensor(f)) for f in hand.fingers]
        self._tips = np.array([int(self.model.sensor(name).adr[0]) for name in tips])
        self._limit = np.asarray(hand.torque_limit)
        if obj is not None:
            self._body = int(self.model.body(OBJECT).id)
            free = self.model.joint(OBJECT)
            self._oq, self._ov = int(free.qposadr[0]), int(free.dofadr[0])
            self._weld = int(self.model.equality(HUMAN).id)
            self._com = np.array(obj.com)
        self.addresses = Addresses(
            self._q, self._v, self._u, self._touch, self._tips, *(
                (-1, -1, -1) if obj is None else (self._body, self._oq, self._ov)))
        self._force = np.zeros(3)
        self._point = np.zeros(3)
        self._payload = 0.0
        self.reset(hand.pose('zero'))

    def reset(
        self, position: Array, object_pose: tuple[Array, Array] | None = None, velocity: Array | None = None
    ) -> None:
        """Put the hand at ``position`` (rad, (n_joints,)) and the object at ``object_pose``.

        The object starts in the human's hand (see :meth:`hold_object`); without a pose it is parked away from the
        hand. Gravity becomes palm-up; torques, pushes and payload zero; targets the present position; time 0.

        Args:
            position: joint angles, rad.
            object_pose: position (m) and quaternion (w, x, y, z) in the palm frame.
            velocity: joint velocities, rad/s; at rest if None.

        Raises:
            CommandRefused: wrong shape or a value that is not finite.
        """
        position = self._checked(position, 'position')
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._q] = position
        if velocity is not None:
            self.data.qvel[self._v] = self._checked(velocity, 'velocity')
        if self.actuation == 'position':
            self.data.ctrl[self._u] = position
        self.model.opt.gravity[:] = PALM_UP
        self._force[:], self._payload = 0.0, 0.0
        if self.obj is not None:
            xyz, quat = object_pose if object_pose is not None else (np.array([0.5, 0, 0]), np.array([1.0, 0, 0, 0]))
            self.move_human(np.asarray(xyz), np.asarray(quat))
            self.data.qpos[self._oq:self._oq + 3] = xyz
            self.data.qpos[self._oq + 3:self._oq + 7] = quat
            self.hold_object(True)
        mujoco.mj_forward(self.model, self.data)

    def apply_torque(self, torque: Array) -> None:
        """Set the joint torques (N·m, (n_joints,)) until the next call; clamped to the hand's torque limit.

        Raises:
            CommandRefused: wrong actuation, wrong shape or a value that is not finite; nothing changes.
        """
        if self.actuation != 'torque':
            raise CommandRefused("this plant takes target angles; build it with actuation='torque' to apply torques")
        self.data.ctrl[self._u] = np.clip(self._checked(torque, 'torque'), -self._limit, self._limit)

    def set_target(self, target: Array) -> None:
        """Set the target angles (rad, (n_joints,)) of the PD law with the hand's gains.

        Raises:
            CommandRefused: wrong actuation, wrong shape or a value that is not finite; nothing changes.
        """
        if self.actuation != 'position':
            raise CommandRefused("this plant takes torques; build it with actuation='position' to set targets")
        self.data.ctrl[self._u] = self._checked(target, 'target')

    def set_gains(self, kp: Array, kd: Array) -> None:
        """Replace the gains of the PD law (N·m/rad, N·m·s/rad, (n_joints,)), e.g. to randomise them.

        Raises:
            CommandRefused: wrong actuation, wrong shape or a value that is not finite; nothing changes.
        """
        if self.actuation != 'position':
            raise CommandRefused("this plant has no PD law; build it with actuation='position' to set gains")
        kp, kd = self._checked(kp, 'kp'), self._checked(kd, 'kd')
        self.model.actuator_gainprm[self._u, 0] = kp
        self.model.actuator_biasprm[self._u, 1] = -kp
        self.model.actuator_biasprm[self._u, 2] = -kd

    def settle_constants(self) -> None:
        """Derive anew what MuJoCo computes of masses and armatures; call it after changing them, then :meth:`reset`."""
        mujoco.mj_setConst(self.model, self.data)

    def advance(self, steps: int = 1) -> None:
        """Run ``steps`` physics steps. Releases the interpreter lock.

        Raises:
            AllegroError: the simulation became unstable; reset before going on.
        """
        self.prepare()
        mujoco.mj_step(self.model, self.data, steps)
        if self.unstable:
            raise AllegroError('the simulation became unstable (huge or not finite acceleration); reset the plant')

    def prepare(self) -> None:
        """Bring pushes and payload into the model; :meth:`advance` does it, batch steppers must call it."""
        if self.obj is None:
            return
        wrench = self.data.xfrc_applied[self._body]
        wrench[:3] = self._force + self._payload * self.model.opt.gravity
        if self._force.any():
            arm = self.data.xmat[self._body].reshape(3, 3) @ (self._point - self._com)
            wrench[3:] = np.cross(arm, self._force)
        else:
            wrench[3:] = 0.0

    @property
    def unstable(self) -> bool:
        """True when MuJoCo had to reset the state because of bad numbers."""
        warnings = self.data.warning
        return bool(warnings[mujoco.mjtWarning.mjWARN_BADQACC].number or
                    warnings[mujoco.mjtWarning.mjWARN_BADQPOS].number or
                    warnings[mujoco.mjtWarning.mjWARN_BADQVEL].number)

    @property
    def time(self) -> float:
        """Simulated time since reset, s."""
        return float(self.data.time)

    @property
    def position(self) -> Array:
        """Joint angles, rad, (n_joints,)."""
        return np.asarray(self.data.qpos[self._q])

    @property
    def velocity(self) -> Array:
        """Joint velocities, rad/s, (n_joints,)."""
        return np.asarray(self.data.qvel[self._v])

    @property
    def torque(self) -> Array:
        """Motor torque at the joints during the last step, N·m, (n_joints,)."""
        return np.asarray(self.data.actuator_force[self._u])

    @property
    def encoder_position(self) -> Array:
        """Joint angles as the encoders count them (nearest position count), rad, (n_joints,)."""
        lsb = np.deg2rad(self.hand.actuation.position_lsb_deg)
        return np.asarray(np.rint(self.position / lsb) * lsb)

    @property
    def current_ma(self) -> Array:
        """Motor currents, whole mA as the hand reports them, (n_joints,); PWM counts where the wire has those."""
        return np.asarray(np.trunc(self.torque * self.hand.per_nm))

    @property
    def taxel_forces(self) -> Array:
        """Normal force on every taxel's area during the last step, N, (n_taxels,)."""
        return np.asarray(self.data.sensordata[self._touch])

    @property
    def tip_forces(self) -> Array:
        """Normal force on every fingertip during the last step, N, finger order, (n_fingers,)."""
        return np.asarray(self.data.sensordata[self._tips])

    @property
    def gravity(self) -> Array:
        """Gravity in the palm frame, m/s², (3,)."""
        return np.array(self.model.opt.gravity)

    def set_gravity(self, vector: Array) -> None:
        """Set gravity in the palm frame, m/s², (3,). Arm motion is simulated by changing it.

        Raises:
            CommandRefused: not three finite numbers, or more than 100 m/s².
        """
        value = np.asarray(vector, dtype=np.float64)
        if value.shape != (3,) or not np.isfinite(value).all() or float(np.linalg.norm(value)) > 100.0:
            raise CommandRefused(f'gravity {vector!r}: needs three finite numbers of at most 100 m/s² together')
        self.model.opt.gravity[:] = value

    @property
    def object_pose(self) -> tuple[Array, Array] | None:
        """Object's position (m, (3,)) and quaternion (w, x, y, z) in the palm frame, or None without object."""
        if self.obj is None:
            return None
        q = self.data.qpos
        return np.array(q[self._oq:self._oq + 3]), np.array(q[self._oq + 3:self._oq + 7])

    @property
    def object_velocity(self) -> Array:
        """Object's linear (m/s, palm frame) and angular (rad/s, object frame) velocity, (6,); zeros without one."""
        return np.array(self.data.qvel[self._ov:self._ov + 6]) if self.obj is not None else np.zeros(6)

    @property
    def object_penetration(self) -> float:
        """Deepest overlap of the object with the hand at the last step, m (0 when apart)."""
        if self.obj is None or self.data.ncon == 0:
            return 0.0
        contact = self.data.contact
        mine = (self.model.geom_bodyid[np.asarray(contact.geom)] == self._body).any(axis=1)
        return float(max(0.0, -np.min(contact.dist[mine], initial=0.0)))

    def push(self, force: Array, point: Array | None = None) -> None:
        """Push the object until the next call; a zero force ends the push.

        Args:
            force: N, palm frame, (3,).
            point: where it acts, m, object frame, (3,); the centre of mass if None.
        """
        self._force[:] = force
        self._point[:] = self._com if point is None and self.obj is not None else (0.0 if point is None else point)

    def set_payload(self, mass: float) -> None:
        """Hang ``mass`` (kg) on the object's centre of mass, as weight only (no inertia)."""
        self._payload = float(mass)

    def set_friction(self, coefficient: float) -> None:
        """Set the sliding friction of every contact with the object, e.g. when it becomes wet.

        Raises:
            CommandRefused: not a number of 0 or more.
        """
        if not coefficient >= 0.0 or not np.isfinite(coefficient):
            raise CommandRefused(f'friction {coefficient!r}: needs a finite number of 0 or more')
        self.model.geom_friction[:, 0] = coefficient

    def hold_object(self, strength: float) -> None:
        """The human's hand: a compliant weld. 1 (True) holds, 0 (False) lets go, values between fade it.

        Raises:
            ConfigError: the plant has no object to hold.
        """
        if self.obj is None:
            raise ConfigError('this plant has no object to hold')
        strength = float(np.clip(strength, 0.0, 1.0))
        self.data.eq_active[self._weld] = strength > 0.0
        if strength > 0.0:
            d = max(HUMAN_IMPEDANCE * strength, 0.001)
            # A force F on the object moves the weld by F (1-d) / (m d k): choose k for the wanted stiffness.
            k = strength * HUMAN_STIFFNESS * (1.0 - d) / (self.obj.mass * d)
            self.model.eq_solref[self._weld] = (-k * d, -2.0 * np.sqrt(k * d))
            self.model.eq_solimp[self._weld] = (d, d, 0.001, 0.5, 2.0)

    def move_human(self, xyz: Array, quat: Array) -> None:
        """Place the human's hand: where it wants the object (m; w, x, y, z)."""
        self.data.mocap_pos[0] = xyz
        self.data.mocap_quat[0] = quat

    def _checked(self, values: Array, what: str) -> Array:
        array = np.asarray(values, dtype=np.float64)
        n = len(self.hand.joints)
        if array.shape != (n,):
            raise CommandRefused(f'{what} has shape {array.shape}; needs ({n},), canonical joint order')
        if not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array)).tolist()
            raise CommandRefused(f'{what} holds NaN or infinite values at joint indices {bad}; nothing changed')
        return array
