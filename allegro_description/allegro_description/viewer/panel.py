"""The side panel: state and faults, latency, touch (if the hand has any), plots, policy phase, episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import viser

from allegro_description.model import HandModel
from allegro_description.viewer import markup
from allegro_description.viewer.live import WINDOW_S, LiveHand
from allegro_description.viewer.page import HandPage

#: Time between two refreshes of texts and plots, s.
PERIOD_S = 0.25
_STROKES = ('#266ec8', '#d1495b', '#2a9d6f', '#8a5cc2')
_HEIGHT = 150


class HandPanel:
    """Texts and plots of one page. Nothing here moves the hand, unless ``on_enable`` is given."""

    def __init__(self, page: HandPage, model: HandModel, on_enable: Callable[[bool], None] | None = None) -> None:
        """Fill the panel.

        Args:
            page: where.
            model: the hand.
            on_enable: called from a worker thread with True for "enable", False for "release"; None: no buttons.
        """
        self._page, self._model = page, model
        self._gui = gui = page.server.gui
        self._refreshed = -np.inf
        self._texts: dict[str, Any] = {}
        self._text('status')
        if on_enable is not None:
            buttons = gui.add_button_group('Torque', ('Enable', 'Release'))
            buttons.on_click(lambda event: on_enable(event.target.value == 'Enable'))
        self._full_scale: Any = None
        self._pressure_plot: Any = None
        if model.taxels:
            with gui.add_folder('Touch'):
                self._text('scale')
                self._full_scale = gui.add_slider('Full scale [kPa]', 5, 100, 5, page.full_scale_pa / 1e3)
                fingers = [model.taxels[k].finger for k in model.tip_taxels]
                self._pressure_plot = self._plot(fingers) if fingers else None
        with gui.add_folder('Joint positions [deg]'):
            self._finger = gui.add_dropdown('Finger', tuple(f.name for f in model.fingers))
            self._finger.on_update(lambda _: self._choose())
            self._joint_plot = self._plot(list(model.fingers[0].joints))
            self._shown = model.fingers[0]
        with gui.add_folder('Policy'):
            self._text('phase')
        with gui.add_folder('Episodes'):
            self._text('episodes')
        with gui.add_folder('Diagnostics', expand_by_default=False):
            self._text('diagnostics')

    def refresh(self, live: LiveHand, now: float) -> None:
        """Bring texts and plots up to date, at most every :data:`PERIOD_S` and only while somebody looks."""
        if self._full_scale is not None:
            self._page.full_scale_pa = float(self._full_scale.value) * 1e3
        if now - self._refreshed < PERIOD_S or not self._page.watched:
            return
        self._refreshed = now
        self._write('status', markup.status(live, now))
        if 'scale' in self._texts:
            self._write('scale', markup.pressure_scale(self._page.full_scale_pa))
        self._write('phase', markup.phases(live, now))
        self._write('episodes', markup.episodes(live))
        self._write('diagnostics', markup.diagnostics(live, now))
        if self._pressure_plot is not None:
            t, pressure = live.pressures.read(now)
            self._draw(self._pressure_plot, t, pressure / 1e3)
        t, position = live.joints.read(now)
        chosen = [self._model.joint_index(name) for name in self._shown.joints]
        self._draw(self._joint_plot, t, np.degrees(position[:, chosen]))

    def _text(self, name: str) -> None:
        self._texts[name] = self._gui.add_html('')

    def _write(self, name: str, content: str) -> None:
        if self._texts[name].content != content:
            self._texts[name].content = content

    def _choose(self) -> None:
        self._shown = next(f for f in self._model.fingers if f.name == self._finger.value)
        self._joint_plot.series = self._series(list(self._shown.joints))

    def _series(self, names: list[str]) -> tuple[viser.uplot.Series, ...]:
        lines = [viser.uplot.Series(label=name, stroke=_STROKES[k % len(_STROKES)], width=1.5)
                 for k, name in enumerate(names)]
        return (viser.uplot.Series(label='t [s]'), *lines)

    def _plot(self, names: list[str]) -> Any:
        # Without time=False uPlot takes seconds for dates.
        scale = viser.uplot.Scale(time=False, auto=False, range=(-WINDOW_S, 0.0))
        empty = tuple(np.array([-WINDOW_S, 0.0]) if k == 0 else np.full(2, np.nan) for k in range(len(names) + 1))
        return self._gui.add_uplot(empty, self._series(names), scales={'x': scale}, height=_HEIGHT,
                                   legend=viser.uplot.Legend(show=True, live=False))

    @staticmethod
    def _draw(plot: Any, t: np.ndarray, columns: np.ndarray) -> None:
        if len(t) >= 2:
            plot.data = (t, *(np.ascontiguousarray(c) for c in columns.T))
