"""What the policy node publishes: commands, inference times, and the full input and output of each inference."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from allegro_description.model import HandModel
from allegro_description.ros.convert import command_message, to_stamp
from allegro_description.ros.interfaces import INFERENCE, INFERENCE_RELEASE, JOINT_COMMANDS, POLICY_STATE
from allegro_description.state import JointCommand
from sensor_msgs.msg import JointState, TimeReference

from allegro_ai.bundle import Bundle
from allegro_ai.grasp_loop import Tick
from allegro_ai.observation import element_names


class Outputs:
    """Lifecycle publishers and the messages on them. Used by the control thread only."""

    def __init__(self, node: Any) -> None:
        """Create the publishers."""
        self._commands, self._inference, self._release, self._state = (
            node.create_lifecycle_publisher(t.type, t.name, t.publish_qos)
            for t in (JOINT_COMMANDS, INFERENCE, INFERENCE_RELEASE, POLICY_STATE))
        self._names: list[str] = []

    def describe(self, bundle: Bundle, named: HandModel) -> None:
        """Prepare the names of ``~/policy_state``: each input element, then ``action/<joint>``, ``target/<joint>``.

        Args:
            bundle: the policy; its input names stay those of the bundle.
            named: the hand with the names that messages carry.
        """
        joints = bundle.model.joint_names
        self._bundle, self._named = bundle, named
        self._names = [*element_names(bundle.model, bundle.inputs), *(f'action/{n}' for n in joints),
                       *(f'target/{n}' for n in joints)]

    def command(self, tick: Tick) -> None:
        """Publish the target, stamped with the joint state that caused it."""
        command = JointCommand(tick.stamp_ns, position=tick.target)
        self._commands.publish(command_message(self._named, command))

    def report(self, tick: Tick, target: Any, *, backend: str, index: int, scheduled_ns: int) -> None:
        """Publish one inference: its start and end, its scheduled release, and what went in and came out.

        Args:
            tick: the tick with observation, action and times.
            target: the resulting target, rad, (n_joints,); in shadow mode the one that would have been sent.
            backend: name of the inference backend.
            index: number of the control period, skipped ones counted.
            scheduled_ns: when the control period was due, ROS time.
        """
        assert tick.observation is not None
        assert tick.action is not None
        for publisher, reference_ns, source in (
            (self._inference, tick.started_ns, backend), (self._release, scheduled_ns, str(index)),
        ):
            message = TimeReference(time_ref=to_stamp(reference_ns), source=source)
            message.header.stamp = to_stamp(tick.finished_ns)
            publisher.publish(message)
        seen = [tick.observation[name][0] for name in self._bundle.inputs]
        values = np.concatenate([*seen, tick.action, target]).astype(np.float64)
        state = JointState(name=self._names, position=array('d', values.tobytes()))
        state.header.stamp = to_stamp(tick.stamp_ns)
        state.header.frame_id = self._named.palm
        self._state.publish(state)


