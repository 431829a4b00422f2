"""Play, stop, speed, the slider of the time line and the list of events. What a browser does is only noted here."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Any

from allegro_bench.viewing import markup
from allegro_bench.viewing.events import Event, counts, earlier, later, near
from allegro_bench.viewing.playhead import Playhead

SPEEDS = ('0.1×', '0.5×', '1×', '4×')
PLAY, STOP = 'Play', 'Stop'
BACK, ON = '◀', '▶'
QUIET = 'all but touch'
SLOTS = 7
TINTS = {'note': (236, 239, 243), 'warning': (255, 229, 190), 'fault': (251, 205, 208)}
"""Of the buttons, by level of the event."""

GRIP_S = 0.6
"""The slider is not moved under a hand that dragged it within this time."""


class Controls:
    """Turns what is clicked into moves of a :class:`Playhead`.

    Clicks come from other threads; only :meth:`apply` acts on them.
    """

    def __init__(self, gui: Any, playhead: Playhead, events: Sequence[Event]) -> None:
        """Build the elements for the top of the panel."""
        self._playhead, self._events = playhead, events
        self._asked: queue.SimpleQueue[Callable[[float], None]] = queue.SimpleQueue()
        self._gripped = float('-inf')
        self._slider = gui.add_slider('Time [s]', 0.0, max(round(playhead.duration_s, 2), 0.01), 0.01, 0.0)
        self._slider.on_update(self._dragged)
        self._buttons = gui.add_button_group('◀ event ▶', (BACK, PLAY, STOP, ON))
        self._buttons.on_click(lambda event: self.click(event.target.value))
        self._speeds = gui.add_button_group('Speed', SPEEDS)
        self._speeds.on_click(lambda event: self.speed(event.target.value))

    def list_events(self, gui: Any) -> None:
        """Build the list of events: which kinds, and buttons for those around the present."""
        number = counts(self._events)
        rest = len(self._events) - number.get('touch', 0)
        self._kinds = {markup.choice(QUIET, rest): '', markup.choice('all', len(self._events)): 'all'}
        self._kinds |= {markup.choice(kind, count): kind for kind, count in number.items()}
        self._kind = gui.add_dropdown('Kinds', tuple(self._kinds), hint=markup.about_kinds())
        self._slots = [gui.add_button(' ', color=TINTS['note'], visible=False) for _ in range(SLOTS)]
        self._shown: list[Event | None] = [None] * SLOTS
        for k, slot in enumerate(self._slots):
            slot.on_click(lambda _, k=k: self.jump(self._shown[k]))

    @property
    def chosen_kind(self) -> str:
        """The choice of kinds as it stands in the panel."""
        return str(self._kind.value)

    @property
    def chosen(self) -> Sequence[Event]:
        """Events of the kinds that are chosen."""
        kind = self._kinds.get(self.chosen_kind, '')
        return [e for e in self._events if kind in ('all', e.kind) or (not kind and e.kind != 'touch')]

    def apply(self, now: float) -> bool:
        """Do what was asked for since the last call; returns whether there was anything."""
        acted = False
        while True:
            try:
                self._asked.get_nowait()(now)
            except queue.Empty:
                return acted
            acted = True

    def refresh(self, now: float) -> None:
        """Show where the present is."""
        place = self._playhead.place(now)
        if now - self._gripped > GRIP_S and abs(self._slider.value - place) >= 0.005:
            self._slider.value = round(place, 2)
        chosen = self.chosen
        around, newest = [*near(chosen, place, SLOTS)], earlier(chosen, place + 1e-9)
        for k, slot in enumerate(self._slots):
            event = around[k] if k < len(around) else None
            self._shown[k] = event
            _write(slot, 'visible', event is not None)
            if event is not None:
                _write(slot, 'label', ('▸ ' if event is newest else '') + markup.short(event))
                _write(slot, 'hint', event.text)
                _write(slot, 'color', TINTS[event.level])

    def click(self, what: str) -> None:
        """Ask for one of :data:`BACK`, :data:`PLAY`, :data:`STOP`, :data:`ON`."""
        if what in (PLAY, STOP):
            self._asked.put(lambda now: self._playhead.play(what == PLAY, now))
        elif what in (BACK, ON):
            step = earlier if what == BACK else later
            self._asked.put(lambda now: self._go(step(self.chosen, self._playhead.place(now)), now))

    def speed(self, what: str) -> None:
        """Ask for one of :data:`SPEEDS`; anything else is ignored."""
        if what in SPEEDS:
            self._asked.put(lambda now: self._playhead.set_speed(float(what.rstrip('×')), now))

    def jump(self, event: Event | None) -> None:
        """Ask to go where an event begins."""
        self._asked.put(lambda now: self._go(event, now))

    def _dragged(self, event: Any) -> None:
        if event.client_id is None:  # it was moved by refresh
            return
        self._gripped = time.monotonic()
        value = event.target.value
        if isinstance(value, (int, float)):
            self._asked.put(lambda now: self._playhead.seek(float(value), now))

    def _go(self, event: Event | None, now: float) -> None:
        if event is not None:
            self._gripped = float('-inf')
            self._playhead.seek(event.at_s, now)


def _write(handle: Any, name: str, value: Any) -> None:
    if getattr(handle, name) != value:
        setattr(handle, name, value)
