"""Our clients move a hand behind their driver: our commands go there, their measurements come under our names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel
from allegro_description.ros.convert import command_from_message, joint_state_message, raw_message, to_ns
from allegro_description.ros.interfaces import JOINT_COMMANDS, JOINT_STATES, TACTILE_RAW
from allegro_description.state import HandState
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32MultiArray, Float64MultiArray, Int32MultiArray, String
from std_srvs.srv import SetBool

from allegro_driver.bridge_config import ROS2_CONTROL, VENDOR, BridgeConfig
from allegro_driver.control.filters import VelocityFilter
from allegro_driver.dialect import KILOPASCAL, Dialect, touch_pressure, touch_unit
from allegro_driver.kept_target import FencedTarget
from allegro_driver.lib_words import OFF, WORDS
from allegro_driver.nodes.bridge_messages import their_joints, their_state
from allegro_driver.nodes.bridge_to_driver import MOTION, THEIR_DEPTH

_SANE_NS = 1_000_000_000  # a stamp farther from now is of another clock, or none
_CUTOFF_HZ = 30.0


class ToVendor:
    """One direction of the bridge; callbacks run in the node's executor."""

    def __init__(self, node: Any, config: BridgeConfig, model: HandModel, dialect: Dialect) -> None:
        """Create topics and services on ``node``.

        Raises:
            ConfigError: a target speed that the hand does not allow.
        """
        self._node, self._config, self._model, self._dialect = node, config, model, dialect
        self._fence = FencedTarget(model, config.max_target_speed, config.hold_after_s)
        self._velocity = VelocityFilter(len(model.joints), _CUTOFF_HZ)
        self._last: HandState | None = None
        self._started = not config.start_word
        self._floats = config.dialect == ROS2_CONTROL
        self._commands = node.create_publisher(
            Float64MultiArray if self._floats else JointState, dialect.command_topic, THEIR_DEPTH)
        self._states = node.create_publisher(JOINT_STATES.type, JOINT_STATES.name, JOINT_STATES.publish_qos)
        self._raw = node.create_publisher(TACTILE_RAW.type, TACTILE_RAW.name, TACTILE_RAW.publish_qos)
        self._words = None
        listen = node.create_subscription
        listen(JointState, dialect.state_topic, self._guarded(self._measured), JOINT_STATES.subscribe_qos)
        listen(JOINT_COMMANDS.type, JOINT_COMMANDS.name, self._guarded(self._commanded), JOINT_COMMANDS.subscribe_qos)
        listen(String, MOTION, self._guarded(lambda message: self._say(message.data)), THEIR_DEPTH)
        node.create_service(SetBool, '~/enable', self._enable)
        if config.dialect == VENDOR:
            base = f'/allegroHand_{config.number}'
            self._words = node.create_publisher(String, f'{base}/lib_cmd', THEIR_DEPTH)
            if touch_unit(model):
                kind = Float32MultiArray if touch_unit(model) == KILOPASCAL else Int32MultiArray
                listen(kind, f'{base}/tactile_sensors', self._guarded(self._touched), TACTILE_RAW.subscribe_qos)

    # What they measured --------------------------------------------------------------------------------------------

    def _measured(self, message: JointState) -> None:
        position, effort = their_state(self._dialect, message)
        now = self._now()
        stamp = to_ns(message.header.stamp)
        stamp = stamp if abs(now - stamp) < _SANE_NS else now
        # Theirs is a raw difference, in one stack with the wrong time step.
        since = 0.0 if self._last is None else (stamp - self._last.stamp_ns) / 1e9
        velocity = self._velocity.update(position, since)
        current = None if effort is None else effort * self._model.per_nm
        self._last = HandState(stamp, 0, position, velocity, current)
        self._states.publish(joint_state_message(self._model, self._last))
        target = self._fence.step(position, now)
        if target is None:
            return
        if not self._started:
            self._started = True
            self._say(self._config.start_word, known=False)
        self._commands.publish(
            Float64MultiArray(data=self._dialect.theirs(target).tolist()) if self._floats else
            their_joints(self._dialect, stamp, target))

    def _touched(self, message: Any) -> None:
        if self._last is None:
            return  # the touch has no stamp of its own
        pressure = touch_pressure(self._model, message.data)
        last = self._last
        self._raw.publish(raw_message(
            self._model, HandState(last.stamp_ns, 0, last.position, last.velocity, tactile=pressure)))

    # What we want --------------------------------------------------------------------------------------------------

    def _commanded(self, message: JointState) -> None:
        command, now = command_from_message(self._model, message), self._now()
        if command.position is None:
            raise CommandRefused('joint_commands: their driver takes positions only, not torques')
        age = now - command.stamp_ns if command.stamp_ns else 0
        if abs(age) > self._config.hold_after_s * 1e9:
            raise CommandRefused(
                f'joint_commands: {age / 1e6:.0f} ms old, allowed are {self._config.hold_after_s * 1e3:.0f} ms; stamp '
                'it with the observation that caused it')
        self._fence.take(command.position, now)
        self._node.count_command()

    def _say(self, word: str, *, known: bool = True) -> None:
        """Pass a word on to their lib_cmd."""
        words = WORDS.get(self._model.model, set())
        if self._words is None or (known and word not in words):
            allowed = ', '.join(sorted(words)) if self._words is not None else 'none, it has no topic for words'
            raise CommandRefused(f'their driver of {self._model.name} knows no word {word[:64]!r}; it knows: {allowed}')
        self._words.publish(String(data=word))
        self._node.count_command()

    def _enable(self, request: Any, response: Any) -> Any:
        response.success = False
        try:
            if request.data:
                raise CommandRefused('their driver switches torque on by itself; send it a motion, e.g. home')
            self._say(OFF)
            response.success, response.message = True, 'their driver was told to switch off; it does not confirm'
        except AllegroError as error:
            response.message = str(error)
        return response

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        def guarded(message: Any) -> None:
            try:
                callback(message)
            except AllegroError as error:
                self._node.refuse(error)

        return guarded
