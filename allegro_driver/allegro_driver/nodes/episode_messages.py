"""Replies of the emulator's control interface as messages: object, gravity and episode events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from allegro_description.ros.convert import diagnostic_array
from allegro_description.simulation.surfaces import drawn_triangles
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Vector3Stamped
from visualization_msgs.msg import Marker

# Boxes, ellipsoids and cylinders are drawn as such; a capsule as a cylinder of its full length; others as triangles.
_MARKERS = {'box': Marker.CUBE, 'sphere': Marker.SPHERE, 'ellipsoid': Marker.SPHERE, 'cylinder': Marker.CYLINDER,
            'capsule': Marker.CYLINDER}


def object_marker(view: Mapping[str, Any] | None, frame: str, stamp: Time) -> Marker:
    """The object in the hand; action DELETE when there is none. Vanishes by itself when this node dies."""
    marker = Marker(ns='object', id=0)
    marker.header.frame_id, marker.header.stamp = frame, stamp
    if view is None:
        marker.action = Marker.DELETE
        return marker
    marker.action, marker.type = Marker.ADD, _MARKERS.get(view['shape'], Marker.TRIANGLE_LIST)
    marker.lifetime = Duration(nanosec=500_000_000)
    if marker.type == Marker.TRIANGLE_LIST:
        marker.scale.x = marker.scale.y = marker.scale.z = 1.0
        marker.points = _corners(view['seed'], view['object_set'])
    else:
        marker.scale.x, marker.scale.y, marker.scale.z = view['extent_m']
    pose = marker.pose
    pose.position.x, pose.position.y, pose.position.z = view['position_m']
    q = pose.orientation
    q.w, q.x, q.y, q.z = view['quaternion_wxyz']
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = view['rgba']
    marker.text = view['shape']
    return marker


@lru_cache(maxsize=2)
def _corners(seed: int, object_set: str) -> list[Point]:
    """Corners of a compound's triangles; an episode's object follows from its seed."""
    return [Point(x=x, y=y, z=z) for x, y, z in drawn_triangles(seed, object_set).reshape(-1, 3).tolist()]


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
