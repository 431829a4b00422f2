"""Replies of the emulator's control interface as messages: object, gravity and episode events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from allegro_description.ros.convert import diagnostic_array
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from visualization_msgs.msg import Marker

# Boxes, ellipsoids and cylinders are drawn as they are; a capsule as a cylinder of its full length.
_MARKERS = {'box': Marker.CUBE, 'sphere': Marker.SPHERE, 'ellipsoid': Marker.SPHERE, 'cylinder': Marker.CYLINDER,
            'capsule': Marker.CYLINDER}


def object_marker(view: Mapping[str, Any] | None, frame: str, stamp: Time) -> Marker:
    """The object in the hand; action DELETE when there is none. Vanishes by itself when this node dies."""
    marker = Marker(ns='object', id=0)
    marker.header.frame_id, marker.header.stamp = frame, stamp
    if view is None:
        marker.action = Marker.DELETE
        return marker
    marker.action, marker.type = Marker.ADD, _MARKERS[view['shape']]
    marker.lifetime = Duration(nanosec=500_000_000)
    marker.scale.x, marker.scale.y, marker.scale.z = view['extent_m']
    pose = marker.pose
    pose.position.x, pose.position.y, pose.position.z = view['position_m']
    q = pose.orientation
    q.w, q.x, q.y, q.z = view['quaternion_wxyz']
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = view['rgba']
    marker.text = view['shape']
    return marker


def gravity_message(vector: list[float], frame: str, stamp: Time) -> Vector3Stamped:
    """Gravity in the palm frame, m/s²."""
    message = Vector3Stamped()
    message.header.frame_id, message.header.stamp = frame, stamp
    message.vector.x, message.vector.y, message.vector.z = vector
    return message


def event_message(node: Any, event: Mapping[str, Any], hardware_id: str) -> DiagnosticArray:
    """``started``, ``finished``, ``dropped`` or ``stopped`` with its values; what is undefined is ``nan``."""
    values = {key: math.nan if value is None else value for key, value in event['values'].items()}
    message = diagnostic_array(node, 'episode', 0, event['event'], values, hardware_id)
    message.status[0].name = 'episode'
    return message
