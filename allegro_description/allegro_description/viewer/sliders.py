"""The hand moved by sliders, without ROS and without a hand: to learn its joints, limits and taxels."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from allegro_description.errors import AllegroError
from allegro_description.model import HandModel, load_hand
from allegro_description.state import Array
from allegro_description.viewer import load
from allegro_description.viewer.live import LiveHand

RATE_HZ = 30.0
_ROW = 3  # buttons beside each other


class SliderHand:
    """One slider per joint, buttons for the named poses. Values from the browser never leave the joint limits."""

    def __init__(self, gui: Any, model: HandModel, pose: str = 'home') -> None:
        """Build the controls in ``gui`` and go to the named pose.

        Raises:
            UnknownName: no such pose.
        """
        self._model = model
        self._names = model.joint_names
        start = model.pose(pose)
        names = named_poses(model)
        for k in range(0, len(names), _ROW):
            row = gui.add_button_group('' if k else 'Pose', names[k:k + _ROW])
            row.on_click(lambda event: self.go_to(event.target.value))
        self._pressure = gui.add_slider('Touch, all [kPa]', 0, 100, 1, 0) if model.taxels else None
        self._sliders: dict[str, Any] = {}
        for finger in model.fingers:
            with gui.add_folder(finger.name.capitalize()):
                for name in finger.joints:
                    k = model.joint_index(name)
                    self._sliders[name] = gui.add_slider(
                        name, min=float(model.lower[k]), max=float(model.upper[k]), step=0.001,
                        initial_value=float(start[k]))
        self._last = np.array(start)

    def go_to(self, pose: str) -> None:
        """Move every slider to a named pose.

        Raises:
            UnknownName: no such pose.
        """
        for name, value in zip(self._names, self._model.pose(pose), strict=True):
            self._sliders[name].value = float(value)

    def position(self) -> Array:
        """Joint angles inside the limits, rad, (n_joints,). A value that is not a number is ignored."""
        for k, name in enumerate(self._names):
            value = self._sliders[name].value
            if isinstance(value, (int, float)) and math.isfinite(value):
                self._last[k] = value
        self._last = np.clip(self._last, self._model.lower, self._model.upper)
        return self._last.copy()

    def pressure(self) -> Array:
        """The same pressure on every taxel, Pa, (n_taxels,)."""
        value = 0.0 if self._pressure is None else float(self._pressure.value)
        return np.full(len(self._model.taxels), value * 1e3)


def named_poses(model: HandModel) -> tuple[str, ...]:
    """Poses worth a button: all but those that a motion only passes through."""
    ways = [tuple(motion.get('via', ())) for motion in model.motions.values()]
    ends, passed = {way[-1] for way in ways if way}, {name for way in ways for name in way[:-1]}
    return tuple(name for name in model.poses if name in ends or name not in passed)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (0 after Ctrl-C, 2 with one sentence when it cannot start)."""
    parser = argparse.ArgumentParser(prog='allegro_description.viewer', description=__doc__)
    parser.add_argument('--sliders', action='store_true', required=True,
                        help='move the hand by sliders (the live hand is shown by the ROS node hand_viewer)')
    parser.add_argument('--model', default='v5_sense', help='hand model (default: %(default)s)')
    parser.add_argument('--side', default='right', help='right or left (default: %(default)s)')
    parser.add_argument('--port', type=int, default=8080,
                        help='TCP port on 127.0.0.1, 0 for the next free one (default: %(default)s)')
    parser.add_argument('--pose', default='home', help='named pose to start from (default: %(default)s)')
    given = parser.parse_args(argv)
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    try:
        return _show(given, stop)
    except AllegroError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 2


def _show(given: argparse.Namespace, stop: threading.Event) -> int:
    model = load_hand(given.model, given.side)
    model.pose(given.pose)  # refused before a server is opened
    page = load('page').HandPage(model, given.port)
    try:
        markup = load('markup')
        legend = page.server.gui.add_html('') if model.taxels else None
        hand, live = SliderHand(page.server.gui, model, given.pose), LiveHand(model)
        live.valid = np.ones(len(model.taxels), dtype=bool)
        if legend is not None:
            legend.content = markup.pressure_scale(page.full_scale_pa)
        print(f'hand with sliders: {page.url} (Ctrl-C ends it)', flush=True)
        while not stop.is_set():
            now = time.monotonic()
            live.position, live.pressure = hand.position(), hand.pressure()
            live.heard('joints', now)
            live.heard('tactile', now)
            page.refresh(live, now)
            stop.wait(1 / RATE_HZ)
    finally:
        page.close()
    return 0
