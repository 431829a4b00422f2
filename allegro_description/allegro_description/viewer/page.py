"""The page: a viser server on 127.0.0.1 that shows a :class:`HandScene` and keeps it up to date.

Only differences are sent: rotations of joints that moved, colours of taxels that changed. While nobody looks, the
scene is refreshed once per second, so that it costs next to nothing and a newcomer still sees the present.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import viser
import websockets.asyncio.server as ws_server

from allegro_description.errors import LinkError
from allegro_description.meshes.materials import MATERIALS
from allegro_description.meshes.mesh import Mesh
from allegro_description.meshes.solids import arrow
from allegro_description.model import HandModel
from allegro_description.viewer import colours
from allegro_description.viewer.live import LiveHand, ObjectView
from allegro_description.viewer.scene import HandScene, object_mesh, turn_to

HOST = '127.0.0.1'
FIRST_PORT = 8080
IDLE_S = 1.0
_MOVED = 2e-5                    # rotation step worth a message, about 2.5 millidegrees
_FINGERS_END = 0.145             # m above the palm frame: about where straight fingers end
_GRAVITY_AT = (0.0, -0.14, -0.08)
_M_PER_N = 0.02
_LONGEST_FORCE_M = 0.10
_FORCE_WIDTH = 0.045              # of an arrow mesh of radius 0.03: 1.4 mm
_LOCAL_PAGES = re.compile(r'https?://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?')


class _LocalServer(viser.ViserServer):  # type: ignore[misc]  # viser ships no types we check against
    """A viser server that stays on this machine."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refuse: any page could otherwise open a public tunnel to the hand."""
        return None


@contextlib.contextmanager
def _own_pages_only() -> Iterator[None]:
    """Let the WebSocket server made inside refuse pages of other origins; viser has no option for it.

    A server on 127.0.0.1 is reachable from every web page the user has open.
    """
    original = ws_server.serve
    ws_server.serve = functools.partial(original, origins=[None, _LOCAL_PAGES])  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        ws_server.serve = original  # type: ignore[misc]


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def open_server(port: int) -> viser.ViserServer:
    """Start the server on 127.0.0.1.

    Args:
        port: TCP port, or 0 for the first free one from 8080 on.

    Raises:
        LinkError: the port is taken.
    """
    busy = LinkError(f'port {port} of {HOST} is taken by another program; set the parameter port to another number, '
                     'or to 0 for the next free one')
    if port and not _port_is_free(port):
        raise busy
    with _own_pages_only(), contextlib.redirect_stdout(io.StringIO()):  # viser prints a banner; the caller logs the URL
        server = _LocalServer(host=HOST, port=port or FIRST_PORT, label='Allegro Hand', verbose=False)
    if port and server.get_port() != port:  # viser walks on to the next port without a word
        server.stop()
        raise busy
    return server


def full_scale(model: HandModel) -> float:
    """Top of the colour scale to begin with, Pa: 50 kPa, or less where the cells of a hand saturate earlier."""
    return min(50e3, max(5e3, model.actuation.tactile_saturation_pa // 5e3 * 5e3))


class HandPage:
    """The 3-D part of the page."""

    def __init__(self, model: HandModel, port: int = 0) -> None:
        """Open the server and build the scene.

        Raises:
            LinkError: the port is taken.
            ConfigError: a taxel that lies on no surface.
        """
        self.scene = HandScene(model)
        self.server = open_server(port)
        self.full_scale_pa = full_scale(model)
        self._refreshed = -np.inf
        self._rotations = np.full((len(model.joints), 4), np.nan)
        self._taxel_colours: list[colours.Colour | None] = [None] * len(model.taxels)
        self._valid: list[bool | None] = [None] * len(model.taxels)
        self._object: Any = None
        self._object_key: tuple[object, ...] = ()
        self._stage()
        self._build()

    @property
    def url(self) -> str:
        """Where to look."""
        return f'http://{HOST}:{self.server.get_port()}'

    @property
    def watched(self) -> bool:
        """Whether any browser is connected."""
        return bool(self.server.get_clients())

    def close(self) -> None:
        """Stop the server; safe to call twice."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def refresh(self, live: LiveHand, now: float) -> bool:
        """Bring the scene up to date; returns False where it was skipped because nobody looks."""
        if not self.watched and now - self._refreshed < IDLE_S:
            return False
        self._refreshed = now
        with self.server.atomic():
            if live.position is not None:
                self._pose(live.position)
            self._touch(*live.touch(now))
            self._show_object(None if live.lost('object', now) else live.grasped)
            self._show_gravity(None if live.lost('gravity', now) else live.gravity)
            self._show_forces(live, now)
        return True

    def _stage(self) -> None:
        scene, camera = self.server.scene, self.server.initial_camera
        self.server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(38, 110, 200))
        self.server.gui.main_panel.dock_right()
        scene.configure_environment_map(None)
        scene.configure_default_lights(enabled=False)
        scene.add_light_hemisphere('/light/sky', sky_color=(255, 255, 255), ground_color=(150, 146, 140), intensity=2.0)
        scene.add_light_directional('/light/key', intensity=2.2, position=(0.7, 0.5, 0.9))
        scene.add_light_directional('/light/fill', color=(205, 220, 255), intensity=0.9, position=(0.3, -0.9, 0.2))
        scene.add_grid('/floor', width=0.6, height=0.6, plane='xy', cell_size=0.02, section_size=0.1,
                       cell_color=(228, 228, 228), section_color=(205, 205, 205), position=(0.0, 0.0, self.scene.floor))
        camera.fov = np.radians(34)
        camera.near = 0.005
        middle = (self.scene.floor + _FINGERS_END) / 2
        camera.position = (0.50, 0.30 if self.scene.model.side == 'right' else -0.30, middle + 0.08)
        camera.look_at = (0.0, 0.0, middle)

    def _mesh(self, path: str, mesh: Mesh, colour: colours.Colour, **how: Any) -> Any:
        return self.server.scene.add_mesh_simple(
            path, mesh.vertices, mesh.faces, color=colour, cast_shadow=False, receive_shadow=False, **how)

    def _build(self) -> None:
        scene = self.server.scene
        self.nodes = {
            node.path: scene.add_frame(node.path, show_axes=False, position=node.position, wxyz=node.wxyz)
            for node in self.scene.nodes
        }
        for part in self.scene.parts:
            self._mesh(part.path, part.mesh, MATERIALS[part.material].colour)
        self.pads = [self._mesh(t.path, t.pad, colours.INVALID) for t in self.scene.taxels]
        self.hatches = [self._mesh(f'{t.path}_hatch', t.hatch, colours.HATCH, side='double')
                        for t in self.scene.taxels]
        self._gravity = self._mesh('/gravity/arrow', arrow(0.06, 0.0018), colours.GRAVITY, visible=False)
        self._gravity_label = scene.add_label('/gravity/label', 'gravity', visible=False, font_size_mode='screen',
                                              font_screen_scale=0.8, position=_GRAVITY_AT)
        self._gravity.position = _GRAVITY_AT
        self._arrows = {
            finger.name: self._mesh(f'{self.scene.frame_path(finger.tip)}/force', arrow(1.0, 0.03), colours.FORCE,
                                    visible=False)
            for finger in self.scene.model.fingers
        }

    def _pose(self, position: np.ndarray) -> None:
        rotations = self.scene.joint_rotations(position)
        moved = ~(np.abs(rotations - self._rotations).max(axis=1) < _MOVED)
        for k in np.flatnonzero(moved):
            self.nodes[self.scene.joint_paths[k]].wxyz = rotations[k]
            self._rotations[k] = rotations[k]

    def _touch(self, pressure: np.ndarray, valid: np.ndarray) -> None:
        usable = np.asarray(valid, dtype=bool) & np.isfinite(pressure)
        for k, colour in enumerate(colours.pressure_colours(pressure, usable, self.full_scale_pa)):
            if colour != self._taxel_colours[k]:
                self.pads[k].color = self._taxel_colours[k] = colour
            if usable[k] != self._valid[k]:
                self._valid[k] = bool(usable[k])
                self.hatches[k].visible = not usable[k]

    def _show_object(self, grasped: ObjectView | None) -> None:
        key = () if grasped is None else (
            grasped.shape, grasped.size, grasped.colour, grasped.opacity,
            b'' if grasped.triangles is None else grasped.triangles.tobytes())
        if key != self._object_key:
            if self._object is not None:
                self._object.remove()
                self._object = None
            if grasped is not None:
                opacity = None if grasped.opacity >= 1 else grasped.opacity
                self._object = self._mesh('/object', object_mesh(
                    grasped.shape, grasped.size, grasped.triangles), grasped.colour, opacity=opacity)
            self._object_key = key
        if grasped is not None:
            self._object.position, self._object.wxyz = grasped.position, grasped.wxyz

    def _show_gravity(self, gravity: np.ndarray | None) -> None:
        shown = gravity is not None and bool(np.linalg.norm(gravity) > 0.1)
        self._gravity.visible = self._gravity_label.visible = shown
        if shown and gravity is not None:
            self._gravity.wxyz = turn_to(gravity)

    def _show_forces(self, live: LiveHand, now: float) -> None:
        for finger, handle in self._arrows.items():
            force = live.forces.get(finger)
            size = 0.0 if force is None or live.lost(f'wrench/{finger}', now) else float(np.linalg.norm(force))
            handle.visible = size > 0.05
            if handle.visible and force is not None:
                handle.wxyz = turn_to(force)
                scale = (_FORCE_WIDTH, _FORCE_WIDTH, round(min(size * _M_PER_N, _LONGEST_FORCE_M), 3))
                if scale != handle.scale:
                    handle.scale = scale
