"""What a policy's node would have heard, as arrays: joints in canonical order, touch in taxel order, stamps in ns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Stamps = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """One topic in order of arrival.

    Attributes:
        topic: its name in the recording.
        received_ns: when the recorder heard each message, (n,).
        stamp_ns: the stamp that it carries, (n,).
        values: its numbers, (n, width).
        valid: which of them can be trusted, (n, width).
    """

    topic: str
    received_ns: Stamps
    stamp_ns: Stamps
    values: Float
    valid: Mask

    def __len__(self) -> int:
        return int(self.received_ns.size)

    def newest(self, when_ns: Stamps) -> NDArray[np.intp]:
        """Index of the newest message that had arrived at each time; -1 where none had."""
        return np.searchsorted(self.received_ns, when_ns, side='right') - 1

    def row_of(self, stamp_ns: Stamps) -> NDArray[np.intp]:
        """Index of the message with each stamp; -1 where there is none."""
        order = np.argsort(self.stamp_ns, kind='stable')
        if not len(order):
            return np.full(np.shape(stamp_ns), -1, dtype=np.intp)
        place = np.minimum(np.searchsorted(self.stamp_ns[order], stamp_ns), len(order) - 1)
        found = order[place]
        return np.where(self.stamp_ns[found] == stamp_ns, found, -1)


@dataclass(frozen=True, eq=False)
class Inferences:
    """``inference`` and ``inference_release``: start and finish of each, and when it was due (-1: not recorded), ns."""

    start_ns: Stamps
    finish_ns: Stamps
    release_ns: Stamps

    def __len__(self) -> int:
        return int(self.start_ns.size)


NO_INFERENCES = Inferences(*(np.zeros(0, dtype=np.int64) for _ in range(3)))


@dataclass(frozen=True, eq=False)
class Inputs:
    """A recording of one hand, ready to be replayed.

    Attributes:
        name: of the recording, for people.
        model: the hand; every array is in its orders.
        joints: measured angles, rad.
        commands: targets that were commanded, rad, stamped with the joint state that caused them; None: none recorded.
        touch: pressure above baseline, Pa; None: no touch was recorded.
        raw: pressure as the hand reported it, Pa; None: not recorded.
        states: ``policy_state`` rows, columns named by ``state_names``; None: not recorded.
        state_names: see :func:`allegro_ai.replay.state_names`.
        inferences: times of the recorded inferences.
        episodes: rows of :func:`allegro_bench.episodes.merge`, times in s since :attr:`origin_ns`.
        remarks: (time s, text) of what nodes reported about themselves when it changed.
        faults: those of them that a node called an error.
        controller: who computed the recorded commands, '' where nothing says so.
        grip: grip class that was asked for, '' where nothing says so.
        damage: sentences about what could not be read.
        sources: facts about the file: paths, hashes, topics.
    """

    name: str
    model: HandModel
    joints: Stream
    commands: Stream | None = None
    touch: Stream | None = None
    raw: Stream | None = None
    states: Stream | None = None
    state_names: tuple[str, ...] = ()
    inferences: Inferences = NO_INFERENCES
    episodes: Sequence[Mapping[str, Any]] = ()
    remarks: Sequence[tuple[float, str]] = ()
    faults: Sequence[tuple[float, str]] = ()
    controller: str = ''
    grip: str = ''
    damage: Sequence[str] = ()
    sources: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.joints):
            raise ConfigError(f'{self.name} holds no joint states, so nothing can be replayed; record joint_states')

    @property
    def origin_ns(self) -> int:
        """Where the time of plots and findings begins: arrival of the first joint state."""
        return int(self.joints.received_ns[0])

    @property
    def duration_s(self) -> float:
        """From the first to the last joint state, s."""
        return float(self.joints.received_ns[-1] - self.joints.received_ns[0]) * 1e-9

    def seconds(self, when_ns: Any) -> Any:
        """Times since the beginning, s."""
        return (np.asarray(when_ns) - self.origin_ns) * 1e-9

    def column(self, name: str) -> Float | None:
        """One column of ``policy_state``, None where it does not exist."""
        if self.states is None or name not in self.state_names:
            return None
        return self.states.values[:, self.state_names.index(name)]

    def columns(self, term: str) -> Float | None:
        """All columns ``term/…`` of ``policy_state``, in its order, None where there are none."""
        if self.states is None:
            return None
        which = [i for i, n in enumerate(self.state_names) if n.partition('/')[0] == term]
        return self.states.values[:, which] if which else None
