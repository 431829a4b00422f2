"""How other stacks name, order and scale the joints and cells of a hand. Pure.

Three dialects: the vendor's V5 and V5 Sense nodes (by index, currents in mA), the vendor's ros2_control stack (by
index, thumb first, names of its own), and the topic based hardware interface of ros2_control (by name).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel
from allegro_description.state import Array, frozen
from numpy.typing import NDArray

from allegro_driver.bridge_config import ROS2_CONTROL, TOPIC_BASED, VENDOR, BridgeConfig

THUMB = 'thumb'


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """Joints as somebody else sees them.

    Attributes:
        names: their joint names in their order.
        order: ``theirs[k] = canonical[order[k]]``.
        by_name: whether they go by name; else by index, and names mean nothing.
        effort_per_nm: their unit of effort per N·m, (n_joints,), canonical; None where what they publish as effort is
            nothing that we measure.
        command_topic: where clients command.
        state_topic: where the driver publishes.
    """

    names: tuple[str, ...]
    order: NDArray[np.intp]
    by_name: bool
    effort_per_nm: Array | None
    command_topic: str
    state_topic: str

    def theirs(self, values: Array) -> Array:
        """Canonical values in their order."""
        return frozen(np.asarray(values)[self.order])

    def canonical(self, names: Sequence[str], values: Sequence[float], what: str) -> Array:
        """Their values in canonical order.

        Args:
            names: as in the message; only used where they go by name.
            values: one per joint.
            what: name of the message and field, for the sentence.

        Raises:
            CommandRefused: another number of values than joints, unknown or missing names, NaN or infinity.
        """
        count = len(self.names)
        if len(values) != count:
            raise CommandRefused(f'{what}: {len(values)} values; this hand has {count} joints, give one value for each')
        array = np.asarray(values, dtype=np.float64)
        if not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array)).tolist()
            raise CommandRefused(f'{what}: NaN or infinite values at positions {bad}; nothing moved')
        if self.by_name:
            array = array[self._places(names, what)]
        result = np.empty(count)
        result[self.order] = array
        return frozen(result)

    def _places(self, names: Sequence[str], what: str) -> list[int]:
        given = {name: place for place, name in enumerate(names)}
        if len(names) != len(self.names) or set(given) != set(self.names):
            missing = sorted(set(self.names) - set(given))
            unknown = sorted(set(given) - set(self.names))
            raise CommandRefused(
                f'{what}: joint names must be those of the hand, each once; missing: {missing or "none"}; unknown: '
                f'{unknown or "none"}')
        return [given[name] for name in self.names]


def make_dialect(config: BridgeConfig, model: HandModel) -> Dialect:
    """The dialect of a bridge.

    Args:
        config: whose it is.
        model: the hand with the prefix of its messages.

    Raises:
        ConfigError: this hand does not exist in that stack.
    """
    count = len(model.joints)
    canonical = np.arange(count)
    if config.dialect == VENDOR:
        base = f'/allegroHand_{config.number}'
        pattern = 'joint_{}.0' if model.model == 'v4' else 'joint_{}_0'
        # Measured motor current, mA, on the V5 Sense; their other drivers publish the torque they commanded.
        sense = frozen(model.per_nm) if model.model == 'v5_sense' else None
        return Dialect(
            tuple(pattern.format(k) for k in range(count)), canonical, False, sense,
            config.command_topic or f'{base}/joint_cmd', config.state_topic or f'{base}/joint_states')
    if config.dialect == ROS2_CONTROL:
        names, order = ros2_control_joints(model, config.joint_prefix)
        return Dialect(
            names, order, False, _newton_metres(model),
            config.command_topic or '/allegro_hand_position_controller/commands',
            config.state_topic or '/joint_states')
    if config.dialect != TOPIC_BASED:
        raise ConfigError(f'dialect is {config.dialect!r}; allowed: {VENDOR}, {ROS2_CONTROL}, {TOPIC_BASED}')
    names, order = model.joint_names, canonical
    if config.names == ROS2_CONTROL:
        names, order = ros2_control_joints(model, config.joint_prefix)
    return Dialect(
        names, order, True, _newton_metres(model), config.command_topic or '/robot_joint_commands',
        config.state_topic or '/robot_joint_states')


def ros2_control_joints(model: HandModel, prefix: str) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Names in the vendor's ros2_control stack, and the canonical index of each: thumb, index, middle, ring.

    Raises:
        ConfigError: the hand has not the four fingers of that stack.
    """
    fingers = {finger.name: finger for finger in model.fingers}
    wanted = (THUMB, 'index', 'middle', 'ring')
    if set(fingers) != set(wanted):
        raise ConfigError(f'the ros2_control stack knows hands with {", ".join(wanted)}; {model.name} has '
                          f'{", ".join(fingers)}')
    names, order = [], []
    for number, name in enumerate(wanted):
        for k, joint in enumerate(fingers[name].joints):
            names.append(f'{prefix}joint{number}{k}')
            order.append(model.joint_index(joint))
    return tuple(names), np.array(order, dtype=np.intp)


def _newton_metres(model: HandModel) -> Array | None:
    """One, where the hand measures currents; a V4 measures nothing, and what its driver publishes is its command."""
    return frozen(np.ones(len(model.joints))) if model.actuation.unit == 'mA' else None


# Touch ----------------------------------------------------------------------------------------------------------------

KILOPASCAL, PASCAL = 'kPa', 'Pa'
"""Float32MultiArray in kPa (V5 Sense), Int32MultiArray in Pa (V5 3-finger)."""


def touch_unit(model: HandModel) -> str:
    """What the vendor's node of this hand publishes as ``tactile_sensors``; '' where it publishes none."""
    return {'v5_sense': KILOPASCAL, 'v5_3f': PASCAL}.get(model.model, '')


def touch_values(model: HandModel, pressure: Array) -> list[float] | list[int]:
    """Taxels (Pa, (n_taxels,), NaN where there is no reading) as the vendor publishes them.

    V5 Sense: 16 values in kPa in the order of our taxels. V5 3-finger: index, middle, thumb and an unused slot (order
    UNVERIFIED), Pa, whole numbers, 0 where there is no reading.
    """
    if touch_unit(model) == KILOPASCAL:
        return [float(value) / 1e3 for value in pressure]
    tips = {taxel.finger: value for taxel, value in zip(model.taxels, pressure, strict=True)}
    whole = [tips.get(finger, 0.0) for finger in ('index', 'middle', THUMB)]
    return [*(round(float(v)) if np.isfinite(v) else 0 for v in whole), 0]


def touch_pressure(model: HandModel, values: Sequence[float]) -> Array:
    """The other way: taxels in Pa, (n_taxels,).

    Raises:
        CommandRefused: another number of values than the vendor publishes for this hand.
    """
    cells, slots = len(model.taxels), 4
    needed = cells if touch_unit(model) == KILOPASCAL else slots
    if len(values) != needed:
        raise CommandRefused(f'tactile_sensors: {len(values)} values; {needed} are expected of {model.name}')
    if touch_unit(model) == KILOPASCAL:
        return frozen(np.asarray(values, dtype=np.float64) * 1e3)
    order = ('index', 'middle', THUMB)
    return frozen([values[order.index(taxel.finger)] for taxel in model.taxels])
