"""TactileHold on the wire: the training task's own script and score, run against whoever commands the hand.

A person would put an object into the hand and watch: at ``start`` the object appears, held by "the human's hand",
while the joints stay where the host has them; the 6 s clock runs at once. 0.3 s after the end it is taken away.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from typing import Any

from allegro_description.errors import CommandRefused
from allegro_description.model import HandModel
from allegro_description.simulation.episode import DURATION_S, Episode
from allegro_description.simulation.score import EpisodeResult, Score

from allegro_driver.emulator.plant_world import PlantWorld

LINGER_S = 0.3
EVENTS_KEPT = 16


class StepClock:
    """Time as a count of steps, which may change their length: no rounding error while they do not."""

    def __init__(self) -> None:
        self._before, self._steps, self._period = 0.0, 0, 0.0

    @property
    def seconds(self) -> float:
        """Time since it was made, s."""
        return self._before + self._steps * self._period

    def tick(self, period_s: float) -> None:
        """One step of ``period_s`` has passed."""
        if period_s != self._period:
            self._before, self._steps, self._period = self.seconds, 0, period_s
        self._steps += 1


class TactileHold:
    """At most one episode at a time in a :class:`PlantWorld`."""

    def __init__(self, model: HandModel, world: PlantWorld) -> None:
        """Nothing runs yet."""
        self._model, self._world = model, world
        self._episode: Episode | None = None
        self._score: Score | None = None
        self._clock = StepClock()
        self._ended = StepClock()
        self._failures = 0
        self.index = 0
        self.state = 'idle'
        self._last: dict[str, Any] | None = None
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._event_count = 0

    @property
    def running(self) -> bool:
        """True between start and end."""
        return self.state == 'running'

    @property
    def clock_s(self) -> float:
        """Time since the start of the running or last episode, s."""
        return self._clock.seconds

    def start(self, seed: int, level: str, object_set: str) -> int:
        """Draw the episode and present its object.

        Raises:
            CommandRefused: one is running.
            UnknownName: no such level or object set.
            ConfigError: a negative seed.
        """
        if self.running:
            raise CommandRefused(f'episode {self.index} is running ({DURATION_S - self.clock_s:.1f} s left); '
                                 'wait for its end or stop_episode first')
        episode = Episode(self._model, seed, level, object_set)
        self._world.place(episode.obj, *episode.object_pose)
        self._episode, self._score = episode, Score(self._model, episode)
        self._clock, self._failures, self.state = StepClock(), self._world.failures, 'running'
        self.index += 1
        self._event('started', {})
        return self.index

    def stop(self) -> bool:
        """Abort the running episode and take the object away; it gets no result."""
        was = self.running
        if was:
            self._event('stopped', {'reason': 'asked to stop', 'clock_s': self.clock_s})
        self._clear()
        return was

    def before_step(self) -> None:
        """Set gravity, pushes, payload and the human's hand for the coming period."""
        if self._episode is not None:
            self._episode.apply(self.clock_s, self._world.plant)

    def after_step(self) -> None:
        """Advance the clock, judge, and clear up when the time has come."""
        if self._episode is None or self._score is None:
            return
        if self._world.failures != self._failures:
            if self.running:
                self._event('stopped', {'reason': 'the simulation became unstable', 'clock_s': self.clock_s})
            self._clear()
            return
        if self.running:
            self._clock.tick(self._world.period_s)
            result = self._score.update(self.clock_s, self._world.plant)
            if result is not None:
                self._finish(result)
        else:
            self._ended.tick(self._world.period_s)
            if self._ended.seconds >= LINGER_S:
                self._clear()

    def view(self) -> dict[str, Any]:
        """Object, clock, last result and the latest events (each with its number ``seq``), ready for JSON."""
        return {
            'object': self._object(),
            'episode': {
                'state': self.state, 'index': self.index, 'clock_s': round(self.clock_s, 4),
                'duration_s': DURATION_S, **(self._facts() if self._episode is not None else {}),
                'human_holds': self._episode.hold(self.clock_s) if self._episode is not None else 0.0,
            },
            'last_result': self._last,
            'events': list(self._events),
        }

    # Inside --------------------------------------------------------------------------------------------------------

    def _finish(self, result: EpisodeResult) -> None:
        self.state, self._ended = 'ended', StepClock()
        values = {k: _plain(v) for k, v in dataclasses.asdict(result).items()}
        self._last = {'index': self.index, **self._facts(), **values}
        self._event('dropped' if result.dropped_at_s is not None else 'finished', values)

    def _clear(self) -> None:
        self._world.remove()
        self._episode = self._score = None
        self.state = 'idle'

    def _facts(self) -> dict[str, Any]:
        assert self._episode is not None
        e = self._episode
        return {'seed': e.seed, 'level': e.level, 'object_set': e.object_set, 'shape': e.obj.shape,
                'mass_kg': e.obj.mass, 'friction': e.obj.friction, 'grip_class': e.grip_class}

    def _event(self, name: str, values: dict[str, Any]) -> None:
        self._event_count += 1
        self._events.append({'seq': self._event_count, 'event': name,
                             'values': {'index': self.index, **self._facts(), **values}})

    def _object(self) -> dict[str, Any] | None:
        plant = self._world.plant
        pose = plant.object_pose
        if plant.obj is None or pose is None:
            return None
        obj = plant.obj
        return {'shape': obj.shape, 'size_m': list(obj.size), 'extent_m': list(obj.extent), 'mass_kg': obj.mass,
                'rgba': list(obj.rgba), 'position_m': pose[0].tolist(), 'quaternion_wxyz': pose[1].tolist(),
                **({'seed': self._episode.seed, 'object_set': self._episode.object_set} if self._episode else {})}


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinities become None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
