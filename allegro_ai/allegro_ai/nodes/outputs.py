"""What the policy node publishes: commands, inference times, and the full input and output of each inference."""

from __future__ import annotations

from array import array
from typing import Any

from allegro_description.model import HandModel
from allegro_description.ros.convert import command_message, to_stamp
from allegro_description.ros.interfaces import (
    INFERENCE,
    INFERENCE_RELEASE,
    JOINT_COMMANDS,
    OOD_SCORE,
    POLICY_STATE,
    SLIP_PROBABILITY,
)
from allegro_description.state import JointCommand
from sensor_msgs.msg import JointState, TimeReference
from std_msgs.msg import Float64

from allegro_ai.bundle import Bundle
from allegro_ai.grasp_loop import Tick
from allegro_ai.replay import SLIP, state_names, state_values


class Outputs:
    """Lifecycle publishers and the messages on them. Used by the control thread only."""

    def __init__(self, node: Any) -> None:
        """Create the publishers."""
        self._commands, self._inference, self._release, self._state, self._score, self._slip = (
            node.create_lifecycle_publisher(t.type, t.name, t.publish_qos)
            for t in (JOINT_COMMANDS, INFERENCE, INFERENCE_RELEASE, POLICY_STATE, OOD_SCORE, SLIP_PROBABILITY))
        self._names: list[str] = []

    def describe(self, bundle: Bundle, named: HandModel) -> None:
        """Prepare the names of ``~/policy_state``: see :func:`allegro_ai.replay.state_names`.

        Args:
            bundle: the policy; its input names stay those of the bundle.
            named: the hand with the names that messages carry.
        """
        self._bundle, self._named = bundle, named
        self._names = state_names(bundle)

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
        state = JointState(name=self._names,
                           position=array('d', state_values(self._bundle, tick, target).tobytes()))
        state.header.stamp = to_stamp(tick.stamp_ns)
        state.header.frame_id = self._named.palm
        self._state.publish(state)
        self._score.publish(Float64(data=tick.score))
        if SLIP in tick.extra:
            self._slip.publish(Float64(data=float(tick.extra[SLIP].max())))
