"""The node behind ``hand_viewer``: subscriptions in, page out, 30 times a second. It commands nothing by default."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped, WrenchStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState, PointCloud2, TimeReference
from std_srvs.srv import SetBool
from visualization_msgs.msg import Marker

from allegro_description.config import parameter
from allegro_description.errors import AllegroError, UnknownName
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros import interfaces
from allegro_description.ros.convert import by_name, points_from_message, to_ns
from allegro_description.ros.interfaces import Topic
from allegro_description.ros.node import PlainNode, run
from allegro_description.viewer import load
from allegro_description.viewer.live import LiveHand, ObjectView, Status

__all__ = ['HandViewer', 'ViewerConfig', 'run']

_SHAPES = {Marker.CUBE: 'box', Marker.SPHERE: 'sphere', Marker.CYLINDER: 'cylinder',
           Marker.TRIANGLE_LIST: 'triangles'}

_MAX_CORNERS = 30_000       # a message with more is no thing to hold


@dataclass(frozen=True, slots=True)
class ViewerConfig:
    """Parameters of ``hand_viewer``."""

    model: str = parameter('v5_sense', 'hand model')
    side: str = parameter('right', 'right or left hand', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    port: int = parameter(8080, 'TCP port of the page on 127.0.0.1; 0 takes the next free one', low=0, high=65535)
    rate_hz: float = parameter(30.0, 'updates of the picture', unit='Hz', low=1.0, high=60.0)
    controls: bool = parameter(False, 'show buttons that enable and release the driver')


class HandViewer(PlainNode):
    """Shows what the graph says; streams are kept as bytes and decoded only when a picture is made."""

    def __init__(self) -> None:
        """Open the page.

        Raises:
            AllegroError: unknown hand, taken port, or viser is not installed.
        """
        super().__init__('hand_viewer', ViewerConfig)
        model = load_hand(self.config.model, self.config.side)
        self.live = LiveHand(model)
        self._model = prefixed(model, self.config.prefix)
        self._page: Any = None
        self._raw: dict[str, bytes] = {}
        self._refused: dict[str, str] = {}
        self._decoders: dict[str, tuple[type, Callable[[Any], None]]] = {}
        self._page = load('page').HandPage(model, self.config.port)
        self._enable = self.create_client(SetBool, 'hand_driver/enable') if self.config.controls else None
        self._panel = load('panel').HandPanel(self._page, model, self._ask if self._enable is not None else None)
        self._stream(interfaces.JOINT_STATES, 'joints', self._on_joints)
        self._stream(interfaces.OBJECT, 'object', self._on_object)
        for topic in (interfaces.GRAVITY, interfaces.RECORDED_GRAVITY):
            self._stream(topic, 'gravity', self._on_gravity)
        if model.taxels:
            self._stream(interfaces.TACTILE_POINTS, 'tactile', self._on_touch)
        for finger in model.fingers if model.taxels else ():
            self._stream(interfaces.wrench_topic(finger.name), f'wrench/{finger.name}',
                         partial(self._on_wrench, finger.name))
        for topic, callback in ((interfaces.INFERENCE, self._on_inference), (interfaces.EPISODE, self._on_episode),
                                (interfaces.DIAGNOSTICS, self._on_diagnostics)):
            self.create_subscription(topic.type, topic.name, callback, topic.subscribe_qos)
        self.create_timer(1 / self.config.rate_hz, self.refresh, clock=self.steady_clock)
        self.get_logger().info(f'showing the hand at {self._page.url}')

    @property
    def page(self) -> Any:
        """The page that is shown."""
        return self._page

    def refresh(self) -> None:
        """Decode the newest message of each stream, then bring scene and panel up to date."""
        now = time.monotonic()
        while self._raw:
            stream, data = self._raw.popitem()
            kind, take = self._decoders[stream]
            try:
                take(deserialize_message(data, kind))
                self.live.heard(stream, now)
                self._refused.pop(stream, None)
            except AllegroError as error:
                if self._refused.get(stream) != str(error):
                    self.get_logger().warning(f'{stream}: not shown: {error}')
                self._refused[stream] = str(error)
        self.live.sample(now)
        self._page.refresh(self.live, now)
        self._panel.refresh(self.live, now)

    def diagnostics(self) -> tuple[int, str, dict[str, object]]:
        """Where the page is, who looks, and which messages are refused."""
        values = {'url': self._page.url, 'clients': len(self._page.server.get_clients())}
        if self._refused:
            return 1, '; '.join(self._refused.values()), values
        return 0, 'showing the hand', values

    def finish(self) -> None:
        """Close the page."""
        if self._page is not None:
            self._page.close()

    def _stream(self, topic: Topic, stream: str, take: Callable[[Any], None]) -> None:
        self._decoders[stream] = (topic.type, take)
        self.create_subscription(topic.type, topic.name, partial(self._raw.__setitem__, stream),
                                 topic.subscribe_qos, raw=True)

    def _on_joints(self, message: JointState) -> None:
        position = by_name(self._model, message.name, message.position, 'joint_states position')
        if not np.isfinite(position).all():
            raise AllegroError('joint_states holds positions that are not finite')
        self.live.position = position
        age_ms = (self.get_clock().now().nanoseconds - to_ns(message.header.stamp)) / 1e6
        self.live.age_ms = age_ms if 0 <= age_ms < 1e4 else None

    def _on_touch(self, message: PointCloud2) -> None:
        _, _, pressure, valid = points_from_message(message)
        if len(pressure) != len(self._model.taxels):
            raise AllegroError(f'tactile/points has {len(pressure)} points; {self._model.name} has '
                               f'{len(self._model.taxels)} taxels')
        self.live.pressure, self.live.valid = pressure, valid

    def _on_object(self, message: Marker) -> None:
        if message.action in (Marker.DELETE, Marker.DELETEALL):
            self.live.grasped = None
            return
        if message.type not in _SHAPES:
            raise UnknownName('marker type', str(message.type), [f'{k} ({v})' for k, v in _SHAPES.items()])
        p, q, c = message.pose.position, message.pose.orientation, message.color
        wxyz = np.array([q.w, q.x, q.y, q.z])
        size = (message.scale.x, message.scale.y, message.scale.z)
        if not np.isfinite([p.x, p.y, p.z, *wxyz, *size]).all() or np.linalg.norm(wxyz) < 1e-6:
            raise AllegroError('object has a pose or size that is not finite')
        triangles: np.ndarray | None = None
        if message.type == Marker.TRIANGLE_LIST:
            corners = np.array([[v.x, v.y, v.z] for v in message.points], dtype=np.float64).reshape(-1, 3)
            if not 0 < len(corners) <= _MAX_CORNERS or len(corners) % 3 or not np.isfinite(corners).all():
                raise AllegroError(f'object has {len(corners)} corners of triangles; allowed: threes of finite points, '
                                   f'at most {_MAX_CORNERS}')
            triangles = corners.reshape(-1, 3, 3)
        colour = tuple(round(255 * min(max(v, 0.0), 1.0)) for v in (c.r, c.g, c.b))
        self.live.grasped = ObjectView(_SHAPES[message.type], size, np.array([p.x, p.y, p.z]),
                                       wxyz / np.linalg.norm(wxyz), colour, c.a or 1.0, triangles)

    def _on_gravity(self, message: Vector3Stamped) -> None:
        self.live.gravity = _vector(message.vector, 'gravity')

    def _on_wrench(self, finger: str, message: WrenchStamped) -> None:
        self.live.forces[finger] = _vector(message.wrench.force, f'tactile/{finger}/wrench')

    def _on_inference(self, message: TimeReference) -> None:
        self.live.inference_ms.append((to_ns(message.header.stamp) - to_ns(message.time_ref)) / 1e6)

    def _on_episode(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.live.episode(status.message, {v.key: v.value for v in status.values})

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        for status in message.status:
            values = {v.key: v.value for v in status.values}
            self.live.statuses[status.name] = Status(status.level[0], status.message, values, now)

    def _ask(self, enable: bool) -> None:
        if self._enable is None or not self._enable.service_is_ready():
            self.get_logger().warning('the driver offers no enable service; is hand_driver running?')
            return
        self._enable.call_async(SetBool.Request(data=enable))


def _vector(v: Any, topic: str) -> np.ndarray:
    vector = np.array([v.x, v.y, v.z])
    if not np.isfinite(vector).all():
        raise AllegroError(f'{topic} holds values that are not finite')
    return vector
