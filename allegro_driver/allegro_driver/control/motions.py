"""Named motions: words of the hand description that become trajectories from wherever the hand is.

A word leads through named poses, at rest at each of them; the last stretch may go on beyond the last pose (*squeeze*),
with a share of the torque limit only, so that an object between the fingers is held and not crushed. Two words need
no poses: ``gravcomp`` (free motion) and ``off``.

On the whole way different fingers keep clear of each other and of the palm, except for the fingertips that a pinch
brings together, and for what touched already where the motion began. If the straight way is not clear, detours over
the open hand are tried; without a clear way the motion is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from allegro_description.errors import CommandRefused, ConfigError, UnknownName
from allegro_description.model import HandModel
from allegro_description.state import Array
from numpy.typing import NDArray

from allegro_driver.control.clearance import Clearance
from allegro_driver.control.orders import FreeMotion, Motion
from allegro_driver.control.trajectory import Trajectory, make_trajectory

FREE, OFF = 'gravcomp', 'off'
"""Words that every hand knows."""
OPEN = 'zero'
"""The pose that detours lead over."""
MARGIN = 0.002
"""Smallest clearance on the way, m."""
STEP = 0.025
"""Largest joint step between two poses that are looked at, rad."""
SQUEEZE_SPEED = 0.5
"""Fastest joint speed when squeezing, rad/s."""
_LEAD_S = 0.1  # the hand may still be moving when a motion begins
_MOVED = 0.02  # rad: joints that move less on the last stretch do not squeeze
_SHORTEST_S = 0.1
_KEYS = {'text', 'via', 'squeeze', 'grip', 'touch'}
_TEXTS = {FREE: 'free motion: the fingers carry themselves and can be moved by hand', OFF: 'torque off'}


@dataclass(frozen=True, slots=True)
class Word:
    """One named motion as the description states it.

    Attributes:
        text: what it does, for people.
        via: the poses it leads through.
        squeeze: how far flexing joints go on beyond the last pose in the direction of the last stretch, rad.
        grip: share of the torque limit from there on, 0 … 1.
        touch: the two fingers whose last links may touch on the last stretch, or none.
    """

    text: str
    via: tuple[str, ...]
    squeeze: float = 0.0
    grip: float = 1.0
    touch: tuple[str, ...] = ()


def read_words(model: HandModel) -> Mapping[str, Word]:
    """The motions of a hand description.

    Raises:
        ConfigError: unknown or missing keys, or a value out of range.
        UnknownName: a pose or finger that the hand does not have.
    """
    return {name: _word(model, name, row) for name, row in model.motions.items()}


def _word(model: HandModel, name: str, row: Mapping[str, Any]) -> Word:
    where = f'{model.name}: motion {name!r}'
    if name in (FREE, OFF) or not {'text', 'via'} <= set(row) <= _KEYS:
        raise ConfigError(f'{where} has the keys {sorted(row)}; needed are text and via, allowed {sorted(_KEYS)}; '
                          f'{FREE} and {OFF} need no description')
    word = Word(str(row['text']), tuple(row['via']), float(row.get('squeeze', 0.0)), float(row.get('grip', 1.0)),
                tuple(row.get('touch', ())))
    if not 0.0 <= word.squeeze <= 1.0 or not 0.0 < word.grip <= 1.0 or len(word.touch) not in (0, 2):
        raise ConfigError(f'{where}: squeeze must lie in 0 … 1 rad, grip in 0 … 1, and touch name two fingers or none')
    if len(word.via) < (2 if word.squeeze else 1):
        raise ConfigError(f'{where}: via must name a pose, and two where it squeezes: those tell the direction')
    for pose in word.via:
        model.pose(pose)
    for finger in word.touch:
        if finger not in (names := [f.name for f in model.fingers]):
            raise UnknownName('finger', finger, names, f'({where})')
    return word


class MotionPlanner:
    """Makes motions of one hand."""

    def __init__(self, model: HandModel) -> None:
        """Read the words.

        Raises:
            ConfigError, UnknownName: see :func:`read_words`.
        """
        self._model, self._words = model, read_words(model)
        self._clearance = Clearance(model)
        last = {f.name: next(j.child for j in model.joints if j.name == f.joints[-1]) for f in model.fingers}
        self._tips: dict[frozenset[str], NDArray[np.bool_]] = {
            frozenset(w.touch): np.array([set(p.links) == {last[f] for f in w.touch} for p in self._clearance.pairs])
            for w in self._words.values() if w.touch}

    @property
    def words(self) -> tuple[str, ...]:
        """All words of this hand."""
        return (*self._words, FREE, OFF)

    def describe(self, word: str) -> str:
        """What a word does, for people.

        Raises:
            UnknownName: no such word.
        """
        if word not in self.words:
            raise UnknownName('motion', word, self.words)
        return _TEXTS[word] if word in _TEXTS else self._words[word].text

    def order(
        self, word: str, start: Callable[[], Array], speed: float, *, squeeze: bool = True
    ) -> Motion | FreeMotion:
        """What to command for a word other than ``off``.

        Args:
            word: its name.
            start: tells the present target, rad, (n_joints,).
            speed: peak joint speed, rad/s.
            squeeze: whether to go on beyond the last pose; not where the torque cannot be limited.

        Raises:
            UnknownName: no such word; the message lists those there are.
            CommandRefused: no clear way there.
        """
        self.describe(word)
        if word == FREE:
            return FreeMotion()
        spec, begin = self._words[word], start()
        goals = [self._model.pose(name) for name in spec.via]
        tight = self._tight(goals[-2], goals[-1], spec.squeeze) if squeeze and spec.squeeze else None
        way = self._way(begin, goals if tight is None else [*goals, tight], spec.touch)
        paces = [speed] * (len(way) - 1)
        if tight is None:
            return Motion(word, self._paced(way, paces, speed)[0])
        paces[-1] = min(speed, SQUEEZE_SPEED)
        trajectory, arrivals = self._paced(way, paces, speed)
        return Motion(word, trajectory, spec.grip, arrivals[-2])

    def to_pose(self, name: str, start: Callable[[], Array], speed: float) -> Motion:
        """What to command to come to a named pose and stay there: clear of everything on the way, as motions are.

        A pose in which two tips touch is reached as the motion does it that ends there.

        Args:
            name: a pose of the description.
            start: tells the present target, rad, (n_joints,).
            speed: peak joint speed, rad/s.

        Raises:
            UnknownName: no such pose.
            CommandRefused: no clear way there.
        """
        goal, begin = self._model.pose(name), start()
        pinch = next((word for word in self._words.values() if word.touch and word.via[-1] == name), None)
        goals = [goal] if pinch is None else [self._model.pose(via) for via in pinch.via]
        way = self._way(begin, goals, () if pinch is None else pinch.touch)
        return Motion(name, self._paced(way, [speed] * (len(way) - 1), speed)[0])

    def _paced(self, way: Sequence[Array], paces: Sequence[float], speed: float) -> tuple[Trajectory, list[float]]:
        """A way as a trajectory, each stretch with its peak joint speed (rad/s); when each point is reached, s."""
        points, times, arrivals = [way[0]], [_LEAD_S], [_LEAD_S]
        for point, pace in zip(way[1:], paces, strict=True):
            duration = _duration(points[-1], point, pace)
            if duration > 0.0:
                points.append(point)
                times.append(times[-1] + duration)
            arrivals.append(times[-1])
        return self._trajectory(points, times, speed), arrivals

    def _trajectory(self, points: Sequence[Array], times: Sequence[float], speed: float) -> Trajectory:
        table = np.clip(np.stack(points), self._model.lower, self._model.upper)
        return make_trajectory(
            self._model, self._model.joint_names, times, table, np.zeros_like(table), max_speed=speed)

    def _tight(self, before: Array, last: Array, squeeze: float) -> Array:
        """Beyond the last pose: flexing joints that move on the way to it go on in their direction."""
        moved = last - before
        further = np.where(self._model.flexion & (np.abs(moved) > _MOVED), np.sign(moved) * squeeze, 0.0)
        tight: Array = np.clip(last + further, self._model.lower, self._model.upper)
        return tight

    def _way(self, start: Array, goals: Sequence[Array], touch: Sequence[str]) -> list[Array]:
        """The first clear way among the straight one and detours: start, poses in between, goals."""
        opened = self._model.pose(OPEN)
        thumb = np.array([j.finger == self._model.fingers[-1].name for j in self._model.joints])
        detours: list[list[Array]] = [
            [], [opened], [np.where(thumb, start, opened), opened], [np.where(thumb, opened, start), opened],
        ]
        trouble = ''
        for detour in detours:
            way = [start, *detour, *goals]
            found = self._touched(way, len(detour) + 1, touch)
            if not found:
                return way
            trouble = trouble or found
        raise CommandRefused(
            f'no clear way from here: {trouble}; open the hand (home) or move the fingers by hand, then try again')

    def _touched(self, way: Sequence[Array], first_goal: int, touch: Sequence[str]) -> str:
        """Who would touch whom on a way, or ''. Between goals, the tips of the fingers in ``touch`` may."""
        paths = [_between(a, b) for a, b in itertools.pairwise(way)]
        clear = self._clearance.of(np.concatenate(paths))
        needed = np.minimum(clear[0] - 0.001, MARGIN)  # what touches already must not get worse
        short = clear < needed
        tips = self._tips.get(frozenset(touch))
        if tips is not None:
            short[sum(map(len, paths[:first_goal])):] &= ~tips
        if not short.any():
            return ''
        pair = self._clearance.pairs[int(np.flatnonzero(short.any(axis=0))[0])]
        return f'{pair.fingers[0]} ({pair.links[0]}) would touch {pair.fingers[1]} ({pair.links[1]})'


def _between(a: Array, b: Array) -> Array:
    count = int(np.ceil(np.abs(b - a).max() / STEP)) + 1
    path: Array = a + np.linspace(0.0, 1.0, count)[:, None] * (b - a)
    return path


def _duration(a: Array, b: Array, speed: float) -> float:
    """Time of a move that starts and ends at rest, s; 0 for none. A cubic peaks at 1.5 times its mean speed."""
    distance = float(np.abs(b - a).max())
    return 0.0 if distance < 1e-6 else max(1.5 * distance / speed, _SHORTEST_S)
