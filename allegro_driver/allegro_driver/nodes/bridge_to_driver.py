"""Their clients move our hand: their topics in, our commands out, and our measurements under their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel
from allegro_description.ros.convert import by_name, command_message, tactile_from_raw, to_ns
from allegro_description.ros.interfaces import DIAGNOSTICS, JOINT_COMMANDS, JOINT_STATES, TACTILE_RAW
from allegro_description.state import Array
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, Float32MultiArray, Float64MultiArray, Int32MultiArray, String
from std_srvs.srv import SetBool

from allegro_driver.bridge_config import ROS2_CONTROL, TOPIC_BASED, VENDOR, BridgeConfig
from allegro_driver.dialect import KILOPASCAL, Dialect, touch_unit, touch_values
from allegro_driver.kept_target import KeptTarget
from allegro_driver.lib_words import REFUSED_TOPICS, wish
from allegro_driver.nodes.bridge_messages import their_joints, their_positions

THEIR_DEPTH = 3
"""Queue of their publishers and subscriptions, reliable."""
MOTION = 'motion'
"""Topic of the driver: a word of :mod:`allegro_driver.control.motions`."""
_FREE = 'gravcomp'
_GAP_NS = 500_000_000  # after a silence this long nobody wants the old target any more
_REFUSED_TYPES = {'gain_cmd': Float64MultiArray, 'gff_rpy': Float64MultiArray}


class ToDriver:
    """One direction of the bridge; callbacks run in the node's executor."""

    def __init__(self, node: Any, config: BridgeConfig, model: HandModel, dialect: Dialect) -> None:
        """Create topics and clients on ``node``."""
        self._node, self._config, self._model, self._dialect = node, config, model, dialect
        self._kept = KeptTarget(config.repeat_hz, config.keep_s)
        self._observed_ns = 0
        self._hands: set[str] = set()
        self._asleep = config.dialect == TOPIC_BASED
        self._states = node.create_publisher(JointState, dialect.state_topic, THEIR_DEPTH)
        self._commands = node.create_publisher(JOINT_COMMANDS.type, JOINT_COMMANDS.name, JOINT_COMMANDS.publish_qos)
        self._motion = node.create_publisher(String, MOTION, 1)
        self._enable = node.create_client(SetBool, f'{config.driver}/enable')
        self._parameters = node.create_client(SetParameters, f'{config.driver}/set_parameters')
        listen = node.create_subscription
        listen(JOINT_STATES.type, JOINT_STATES.name, self._guarded(self._measured), JOINT_STATES.subscribe_qos)
        listen(DIAGNOSTICS.type, DIAGNOSTICS.name, self._diagnosed, DIAGNOSTICS.subscribe_qos)
        listen(Float64MultiArray if config.dialect == ROS2_CONTROL else JointState, dialect.command_topic,
               self._guarded(self._commanded), THEIR_DEPTH)
        if config.dialect == VENDOR:
            self._listen_to_vendor(f'/allegroHand_{config.number}')

    def _listen_to_vendor(self, base: str) -> None:
        listen = self._node.create_subscription
        listen(String, f'{base}/lib_cmd', self._guarded(self._word), THEIR_DEPTH)
        for name, reason in REFUSED_TOPICS.items():
            listen(_REFUSED_TYPES.get(name, Float32), f'{base}/{name}',
                   self._refusal(f'{name}: {reason.format(driver=self._config.driver)}'), THEIR_DEPTH)
        unit = touch_unit(self._model)
        if unit:
            kind = Float32MultiArray if unit == KILOPASCAL else Int32MultiArray
            publisher = self._node.create_publisher(kind, f'{base}/tactile_sensors', 10)
            listen(TACTILE_RAW.type, TACTILE_RAW.name, self._guarded(lambda message: publisher.publish(
                kind(data=touch_values(self._model, tactile_from_raw(message)[1])))), TACTILE_RAW.subscribe_qos)

    # What we measured ----------------------------------------------------------------------------------------------

    def _measured(self, message: JointState) -> None:
        dialect, stamp = self._dialect, to_ns(message.header.stamp)
        position, velocity, effort = (self._field(message, name) for name in ('position', 'velocity', 'effort'))
        effort = None if effort is None or dialect.effort_per_nm is None else effort * dialect.effort_per_nm
        self._states.publish(their_joints(dialect, stamp, position, velocity, effort))
        if stamp - self._observed_ns > _GAP_NS and self._kept.drop():
            self._node.say('the driver was silent: the last command is forgotten')
        self._observed_ns = stamp
        command = self._kept.due(stamp)
        if command is not None:
            self._commands.publish(command_message(self._model, command))

    def _field(self, message: JointState, name: str) -> Array | None:
        values = getattr(message, name)
        return by_name(self._model, message.name, values, f'joint_states {name}') if len(values) else None

    def _diagnosed(self, message: Any) -> None:
        """Torque off or a fault: whoever enables the hand again expects it to stay where it is."""
        for status in message.status:
            if status.name == f'{self._config.driver}: status':
                self._hands.add(status.hardware_id)
                state = next((value.value for value in status.values if value.key == 'state'), '')
                ours = self._config.serial == status.hardware_id or (not self._config.serial and len(self._hands) == 1)
                if ours and state in ('off', 'fault') and self._kept.drop():
                    self._node.say(f'the driver is in state {state}: the last command is forgotten')

    # What they want ------------------------------------------------------------------------------------------------

    def _commanded(self, message: Any) -> None:
        if self._config.dialect == ROS2_CONTROL:
            position: Array | None = self._dialect.canonical((), message.data, self._dialect.command_topic)
            effort: Array | None = None
        else:
            position, effort = their_positions(self._dialect, message)
        if self._config.dialect == TOPIC_BASED:
            if position is not None and effort is not None:
                chosen = self._config.command_interface
                position, effort = (position, None) if chosen == 'position' else (None, effort)
            if self._asleep and position is not None and not np.any(position):
                return  # the interface sends zeros until a controller runs; a hand must not follow them
            self._asleep = False
        elif effort is not None:
            raise CommandRefused(f'{self._dialect.command_topic}: efforts are not taken here; their unit differs from '
                                 'hand to hand. Send torques in N·m on joint_commands')
        if position is None and effort is None:
            raise CommandRefused(f'{self._dialect.command_topic}: no positions; nothing moved')
        self._require_observation()
        self._kept.take(position, effort, self._observed_ns)
        self._node.count_command()

    def _word(self, message: String) -> None:
        motions = {*self._model.motions, _FREE}
        wanted = wish(message.data, motions, self._dialect, self._config.pose_dir)
        self._node.count_command()
        if wanted.position is not None:
            self._require_observation()
            self._kept.take(wanted.position, None, self._observed_ns)
        elif wanted.motion or wanted.off or wanted.mode:
            self._kept.drop()
        if wanted.motion:
            self._motion.publish(String(data=wanted.motion))
        if wanted.off:
            self._ask(self._enable, SetBool.Request(data=False), lambda answer: answer.message)
        if wanted.mode:
            parameter = Parameter('control_mode', value=wanted.mode).to_parameter_msg()
            self._ask(self._parameters, SetParameters.Request(parameters=[parameter]),
                      lambda answer: answer.results[0].reason or f'control_mode is {wanted.mode}')

    def _require_observation(self) -> None:
        if not self._observed_ns:
            raise CommandRefused(f'no joint states of {self._config.driver} yet: is it active?')

    def _ask(self, client: Any, request: Any, text: Callable[[Any], str]) -> None:
        if not client.service_is_ready():
            raise CommandRefused(f'the service {client.srv_name} is not there: does {self._config.driver} run?')
        client.call_async(request).add_done_callback(lambda future: self._node.say(text(future.result())))

    def _guarded(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        def guarded(message: Any) -> None:
            try:
                callback(message)
            except AllegroError as error:
                self._node.refuse(error)

        return guarded

    def _refusal(self, sentence: str) -> Callable[[Any], None]:
        return lambda message: self._node.refuse(CommandRefused(sentence))
