"""The newest joint state, touch and foreign command, as the control thread wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allegro_description.errors import AllegroError, CommandRefused
from allegro_description.model import HandModel
from allegro_description.ros.convert import by_name, command_from_message, points_from_message, to_ns
from allegro_description.ros.interfaces import JOINT_COMMANDS, JOINT_STATES, TACTILE_POINTS, Topic
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from rclpy.wait_for_message import wait_for_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, PointCloud2

from allegro_ai.grasp_loop import JointSample, TouchSample

_THROTTLE_S = 5.0


class Inputs:
    """Subscriptions that keep the latest sample only. Written by the executor, read by the control thread.

    Attributes:
        joints, touch: newest usable samples, or None.
        followed: in shadow mode the newest position command of whoever drives the hand.
        problem: why the newest joint state could not be used; '' when it could.
    """

    def __init__(self, node: Any, model: HandModel, *, shadow: bool, refused: Callable[[str], None]) -> None:
        """Subscribe.

        Args:
            node: the policy node.
            model: the hand; joints are mapped by name.
            shadow: whether to listen to ``joint_commands`` too.
            refused: called with the reason when a joint state cannot be used.
        """
        self._node, self._model, self._refused = node, model, refused
        self.joints: JointSample | None = None
        self.touch: TouchSample | None = None
        self.followed: Any = None
        self.problem = ''
        self._subscriptions: list[Any] = []
        self._subscribe(JOINT_STATES, self._on_joints)
        self._subscribe(TACTILE_POINTS, self._on_touch)
        if shadow:
            self._subscribe(JOINT_COMMANDS, self._on_followed)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def wait(self, timeout_s: float, touch: bool) -> None:
        """Take one joint state, and one touch message if asked for, each within ``timeout_s``.

        For use inside a transition, which runs on the executor, so that the subscriptions are silent.
        """
        wanted = [(JOINT_STATES, self._on_joints), *([(TACTILE_POINTS, self._on_touch)] if touch else [])]
        for topic, callback in wanted:
            received, message = wait_for_message(
                topic.type, self._node, topic.name, qos_profile=topic.subscribe_qos, time_to_wait=timeout_s)
            if received:
                callback(message)
        clock = self._node.get_clock()
        if clock.ros_time_is_active:  # the subscription to /clock is as silent, and time would stand still
            received, message = wait_for_message(
                Clock, self._node, '/clock', qos_profile=qos_profile_sensor_data, time_to_wait=timeout_s)
            if received:
                clock.set_ros_time_override(Time.from_msg(message.clock))

    def _subscribe(self, topic: Topic, callback: Any) -> None:
        made = self._node.create_subscription(topic.type, topic.name, callback, topic.subscribe_qos)
        self._subscriptions.append(made)

    def _on_joints(self, message: JointState) -> None:
        try:
            position = by_name(self._model, message.name, message.position, 'joint_states')
        except AllegroError as error:
            self.problem = str(error)
            self._refused(self.problem)
            self._node.get_logger().error(self.problem, throttle_duration_sec=_THROTTLE_S)
            return
        self.problem = ''
        self.joints = JointSample(to_ns(message.header.stamp), position)

    def _on_touch(self, message: PointCloud2) -> None:
        try:
            stamp_ns, _, pressure, valid = points_from_message(message)
            cells = len(self._model.taxels)
            if len(pressure) != cells:
                raise CommandRefused(f'tactile/points has {len(pressure)} taxels, {self._model.name} has {cells}')
        except AllegroError as error:
            self.touch = None
            self._node.get_logger().warning(str(error), throttle_duration_sec=_THROTTLE_S)
            return
        self.touch = TouchSample(stamp_ns, pressure, valid)

    def _on_followed(self, message: JointState) -> None:
        try:
            self.followed = command_from_message(self._model, message).position
        except AllegroError:
            self.followed = None  # somebody else's bad command: the driver refuses it, and so do we
