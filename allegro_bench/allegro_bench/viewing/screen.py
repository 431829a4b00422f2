"""The page: the hand as it was, the time line, traces around the present, and what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event as Flag
from typing import Any

import numpy as np
import viser
from allegro_description.model import Finger
from allegro_description.viewer import markup as viewer_markup
from allegro_description.viewer.page import HandPage

from allegro_bench.bags.recording import Float
from allegro_bench.viewing import markup
from allegro_bench.viewing.bands import lanes
from allegro_bench.viewing.controls import Controls
from allegro_bench.viewing.events import events
from allegro_bench.viewing.playhead import Playhead
from allegro_bench.viewing.timeline import Moment, Timeline, live_hand

RATE_HZ = 30.0
PANEL_S = 0.12
HALF_S = 4.0
"""Traces reach as far before and after the present."""

STROKES = ('#266ec8', '#d1495b', '#2a9d6f', '#8a5cc2', '#c77700', '#5f6b7a')
NOW = '#d6294b'
MOST_CURVES = 6
MARGIN = 0.06
"""Free above and below the curves, as a share of their range."""
_HEIGHT = 150


class Screen:
    """A recording in a page of the hand viewer."""

    def __init__(self, timeline: Timeline, port: int, term: str = '') -> None:
        """Open the page.

        Args:
            timeline: what to show.
            port: of 127.0.0.1; 0: the next free one from 8080 on.
            term: of the policy's state that is plotted first; empty: the first of them.

        Raises:
            LinkError: the port is taken.
        """
        self.timeline, self.events = timeline, events(timeline)
        self.playhead = Playhead(timeline.duration_s, time.monotonic())
        self._page = HandPage(timeline.model, port)
        self._clients, self._paneled, self._place, self._was_playing = -1, -np.inf, -1.0, False
        self._taken: tuple[object, ...] = ()
        self.controls: Controls
        self._finger: Any = None
        #: What was shown last.
        self.moment = timeline.moment(0.0)
        try:
            self._build(term)
        except BaseException:
            self._page.close()
            raise

    @property
    def url(self) -> str:
        """Where to look."""
        return str(self._page.url)

    @property
    def page(self) -> HandPage:
        """The page that is shown."""
        return self._page

    def run(self, stop: Flag) -> None:
        """Show the recording until ``stop`` is set."""
        while not stop.is_set():
            self.refresh(time.monotonic())
            stop.wait(1 / RATE_HZ)

    def close(self) -> None:
        """Close the page."""
        self._page.close()

    def refresh(self, now: float) -> None:
        """Do what was asked for and bring the page up to date; costs next to nothing while nothing moves."""
        acted = self.controls.apply(now)
        place, playing = self.playhead.place(now), self.playhead.playing(now)
        clients = len(self._page.server.get_clients())
        changed = acted or clients != self._clients or self._settings() or playing != self._was_playing
        if not changed and place == self._place and self._paneled != -np.inf:
            return
        if changed:
            self._paneled = -np.inf
        self._clients, self._place, self._was_playing = clients, place, playing
        self.moment = moment = self.timeline.moment(place)
        self._page.refresh(live_hand(self.timeline.model, moment, now), now)
        if now - self._paneled >= PANEL_S and clients:
            self._paneled = now
            self._panel(moment, now)

    def _settings(self) -> bool:
        """Take the settings of the panel over; whether any has changed."""
        if self._full_scale is not None:
            self._page.full_scale_pa = float(self._full_scale.value) * 1e3
        settings: tuple[object, ...] = (
            self._page.full_scale_pa, self._finger.value, self._term and self._term.value, self.controls.chosen_kind)
        changed, self._taken = settings != self._taken, settings
        return changed

    def _build(self, term: str) -> None:
        gui, timeline = self._page.server.gui, self.timeline
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(38, 110, 200), control_width='large')
        self._lanes = lanes(timeline)
        self._strip = markup.strip(self._lanes, self.events, timeline.duration_s)
        self._key = markup.key(self._lanes)
        gui.add_html(markup.head(timeline))
        self._texts = {name: gui.add_html('') for name in ('present', 'strip')}
        self.controls = Controls(gui, self.playhead, self.events)
        self._texts['state'] = gui.add_html('')
        with gui.add_folder('Events'):
            self.controls.list_events(gui)
        self._full_scale: Any = None
        self._touch: _Plot | None = None
        model = timeline.model
        if 'touch' in timeline.tracks:
            with gui.add_folder('Touch, raw [kPa]' if timeline.touch_is_raw else 'Touch [kPa]'):
                self._texts['scale'] = gui.add_html('')
                self._full_scale = gui.add_slider('Full scale [kPa]', 5, 100, 5, self._page.full_scale_pa / 1e3)
                self._touch = _Plot(gui, [model.taxels[k].finger or 'palm' for k in model.tip_taxels])
        with gui.add_folder('Joints [deg], targets dashed'):
            self._finger = gui.add_dropdown('Finger', tuple(f.name for f in model.fingers))
            self._joints = _Plot(gui, list(model.fingers[0].joints), dashed=True)
        self._terms = _terms(timeline)
        self._term: Any = None
        if self._terms:
            with gui.add_folder('Policy state'):
                first = term if term in self._terms else next(iter(self._terms))
                self._term = gui.add_dropdown('Term', tuple(self._terms), initial_value=first)
                self._state = _Plot(gui, [])
        with gui.add_folder('All events', expand_by_default=False):
            self._texts['table'] = gui.add_html('')
        with gui.add_folder('Diagnostics', expand_by_default=False):
            self._texts['diagnostics'] = gui.add_html('')
        with gui.add_folder('Recording', expand_by_default=False):
            gui.add_html(markup.recording(timeline.recording, timeline.remarks))

    def _panel(self, moment: Moment, now: float) -> None:
        timeline, place = self.timeline, moment.seconds
        self.controls.refresh(now)
        self._write('present', markup.present(timeline, place, self.playhead.speed, self.playhead.playing(now)))
        self._write('strip', markup.with_present(self._strip, self._key, place, timeline.duration_s))
        self._write('state', markup.state(timeline, moment))
        self._write('table', markup.table(self.controls.chosen))
        self._write('diagnostics', viewer_markup.diagnostics(live_hand(timeline.model, moment, now), now))
        if self._touch is not None:
            self._write('scale', viewer_markup.pressure_scale(self._page.full_scale_pa))
            t, values = timeline.trace('touch', timeline.model.tip_taxels, place, HALF_S)
            self._touch.draw(t, values / 1e3, 0.0, self._page.full_scale_pa / 1e3)
        finger = next(f for f in timeline.model.fingers if f.name == self._finger.value)
        self._draw_joints(finger, place)
        if self._term is not None:
            names, columns = self._of_term(finger)
            t, values = timeline.trace('policy_state', columns, place, HALF_S)
            self._state.name(names)
            self._state.draw(t, values)

    def _draw_joints(self, finger: Finger, place: float) -> None:
        model = self.timeline.model
        chosen = [model.joint_index(name) for name in finger.joints]
        t, position = self.timeline.trace('joint_states', chosen, place, HALF_S)
        target = self.timeline.held('commands', chosen, t + place)
        self._joints.name(list(finger.joints))
        low, high = np.degrees(model.lower[chosen].min()), np.degrees(model.upper[chosen].max())
        self._joints.draw(t, np.degrees(np.hstack([position, target])), float(low), float(high))

    def _of_term(self, finger: Finger) -> tuple[list[str], list[int]]:
        """Names and columns of the term that is plotted: those of the chosen finger, else the first."""
        elements = self._terms.get(self._term.value) or next(iter(self._terms.values()))
        own = [(n, k) for n, k in elements if n in finger.joints or n.startswith(finger.name)]
        chosen = (own or elements)[:MOST_CURVES]
        return [n for n, _ in chosen], [k for _, k in chosen]

    def _write(self, name: str, content: str) -> None:
        if self._texts[name].content != content:
            self._texts[name].content = content


class _Plot:
    """Curves around the present, which is a line in the middle."""

    def __init__(self, gui: Any, names: Sequence[str], dashed: bool = False) -> None:
        self._dashed, self._names = dashed, list(names)
        x = np.array([-HALF_S, HALF_S])
        empty = (x, *(np.full(2, np.nan) for _ in range(self._count)))
        self._handle = gui.add_uplot(
            empty, self._series(), scales={'x': self._across(), 'y': viser.uplot.Scale(auto=True)}, height=_HEIGHT,
            legend=viser.uplot.Legend(show=False))
        self._legend = gui.add_html(self._key())

    @property
    def _count(self) -> int:
        return len(self._names) * (2 if self._dashed else 1) + 1

    def name(self, names: list[str]) -> None:
        """Other curves."""
        if names != self._names:
            self._names = names
            x = np.array([-HALF_S, HALF_S])
            self._handle.data = (x, *(np.full(2, np.nan) for _ in range(self._count)))
            self._handle.series = self._series()
            self._legend.content = self._key()

    def draw(self, t: Float, columns: Float, low: float | None = None, high: float | None = None) -> None:
        """Show curves over times relative to the present; ``low`` and ``high`` bound the axis, else the values do."""
        known = columns[np.isfinite(columns)]
        bottom = low if low is not None else float(known.min()) if len(known) else 0.0
        top = high if high is not None else float(known.max()) if len(known) else 1.0
        space = MARGIN * (top - bottom) or 0.5
        bottom, top = bottom - space, top + space
        # The line of the present: two points so close that they stand above one another.
        place = int(np.searchsorted(t, 0.0))
        t = np.insert(t, [place, place], [-1e-6, 0.0])
        columns = np.insert(columns, [place, place], columns[max(place - 1, 0)] if len(columns) else np.nan, axis=0)
        line = np.full(len(t), np.nan)
        line[place:place + 2] = bottom, top
        self._handle.scales = {'x': self._across(), 'y': viser.uplot.Scale(auto=False, range=(bottom, top))}
        self._handle.data = (np.ascontiguousarray(t), *(np.ascontiguousarray(c) for c in columns.T), line)

    def _key(self) -> str:
        return markup.legend(self._names, STROKES, self._dashed)

    def _across(self) -> Any:
        # Without time=False uPlot takes seconds for dates.
        return viser.uplot.Scale(time=False, auto=False, range=(-HALF_S, HALF_S))

    def _series(self) -> tuple[Any, ...]:
        solid = [viser.uplot.Series(label=name, stroke=STROKES[k % len(STROKES)], width=1.5)
                 for k, name in enumerate(self._names)]
        dashed = [viser.uplot.Series(label=f'{name} target', stroke=STROKES[k % len(STROKES)], width=1.2, dash=(4, 4))
                  for k, name in enumerate(self._names if self._dashed else ())]
        return (viser.uplot.Series(label='t [s]'), *solid, *dashed,
                viser.uplot.Series(label='now', stroke=NOW, width=1.5))


def _terms(timeline: Timeline) -> dict[str, list[tuple[str, int]]]:
    """Terms of the policy's state, each with its elements and their columns."""
    found: dict[str, list[tuple[str, int]]] = {}
    track = timeline.tracks.get('policy_state')
    for column, name in enumerate(track.names if track is not None else ()):
        term, _, element = name.partition('/')
        found.setdefault(term, []).append((element or term, column))
    return found
