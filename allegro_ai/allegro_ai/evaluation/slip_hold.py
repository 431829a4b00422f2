"""False alarms of slip detectors on TactileHold: the detector listens while another policy holds the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import DISTURB_S
from allegro_description.simulation.score import rotated
from allegro_description.simulation.slip import LABEL_S, SLIP_SPEED_M_S
from numpy.typing import NDArray

from allegro_ai.evaluation.slip import Entrant, detector_word, false_alarms
from allegro_ai.tasks.lanes import CONTROL_S, Lanes
from allegro_ai.tasks.policies import Acting, make_policy, reset_policy
from allegro_ai.tasks.tactile_hold import TactileHold, episodes
from allegro_ai.tasks.workers import Workers

CHUNK = 25
FIRST_STEP = round(DISTURB_S / CONTROL_S)
REMEMBERED = round(LABEL_S / CONTROL_S)         # control steps for which an object counts as slipping

Words = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""What a detector said at each step of an episode, and whether the object slipped."""


class Listener:
    """Lets one policy act and another listen to the same observations."""

    def __init__(self, actor: Acting, detector: Acting) -> None:
        """Take both."""
        self._actor, self._detector = actor, detector
        self.word: NDArray[np.float32] | None = None

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget the past, both of them."""
        reset_policy(self._actor, which)
        reset_policy(self._detector, which)

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """The action of the actor; what the detector says is kept in :attr:`word`."""
        self._detector.act(observation)
        self.word = detector_word(self._detector, dict(observation))
        return self._actor.act(observation)


class Observer:
    """Pairs what is said with what the object does; give it to ``TactileHold.run`` as ``watch``."""

    def __init__(self, listener: Listener, count: int) -> None:
        """Prepare for ``count`` episodes."""
        self._listener, self._centre = listener, np.full((count, 3), np.nan)
        self._still = np.full(count, REMEMBERED)    # control steps since the object moved fast
        self.said: list[list[float]] = [[] for _ in range(count)]
        self.truth: list[list[bool]] = [[] for _ in range(count)]

    def __call__(self, lanes: Lanes, which: NDArray[np.intp]) -> None:
        """Take the step that was just done; what was said belongs to the moment before it."""
        word = self._listener.word
        if word is not None:
            for k in which[(lanes.clock[which] > FIRST_STEP) & lanes.running[which]].tolist():
                self.said[k].append(float(word[k]))
                self.truth[k].append(bool(self._still[k] < REMEMBERED))
        centre = lanes.state.xyz[which] + rotated(lanes.state.quat[which], lanes.facts[which, :3])
        fast = np.linalg.norm(centre - self._centre[which], axis=1) > SLIP_SPEED_M_S * CONTROL_S
        self._still[which] = np.where(fast, 0, self._still[which] + 1)
        self._centre[which] = centre


def run_hold(
    model: str, side: str, actor: Entrant, detector: Entrant, seeds: Sequence[int], level: str, object_set: str
) -> list[Words]:
    """Run some episodes of TactileHold in this process; none when the detector sees what this task does not show."""
    hand = load_hand(model, side)
    listening = make_policy(hand, detector.policy, detector.arguments)
    if getattr(listening, 'privileged', False):
        return []
    listener = Listener(make_policy(hand, actor.policy, actor.arguments), listening)
    observer = Observer(listener, len(seeds))
    TactileHold(hand, episodes(hand, seeds, level, object_set)).run(listener, watch=observer)
    return [(np.array(said, np.float32), np.array(truth, bool))
            for said, truth in zip(observer.said, observer.truth, strict=True)]


def hold_alarms(
    hand: HandModel, detectors: Sequence[Entrant], actor: Entrant, workers: Workers, *, seeds: Sequence[int],
    level: str, object_set: str, threshold: float, progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Mapping[str, Any]]:
    """False alarms a minute of each detector, by its name; those that say nothing are left out.

    Args:
        hand: the hand.
        detectors: policies that may say something about slipping.
        actor: the policy that holds.
        workers: processes that run the episodes.
        seeds: of the episodes, the same for all.
        level: of disturbance.
        object_set: where objects come from.
        threshold: an alarm is a word of at least so much.
        progress: called with episodes done and in all.
    """
    futures = [[workers.submit(run_hold, hand.model, hand.side, actor, d, tuple(seeds[k:k + CHUNK]), level, object_set)
                for k in range(0, len(seeds), CHUNK)] for d in detectors]
    rows: dict[str, Mapping[str, Any]] = {}
    for number, (detector, parts) in enumerate(zip(detectors, futures, strict=True)):
        words = [w for part in parts for w in part.result()]
        progress((number + 1) * len(seeds), len(seeds) * len(detectors))
        steps = sum(said.size for said, _ in words)
        if not steps:
            continue
        alarms = sum(false_alarms(said >= threshold, truth) for said, truth in words)
        rows[detector.name] = {
            'alarms': alarms, 'minutes': steps * CONTROL_S / 60.0, 'per_min': alarms / (steps * CONTROL_S / 60.0),
            'slipping': float(np.mean(np.concatenate([truth for _, truth in words]))), 'n': len(seeds), 'level': level,
            'object_set': object_set, 'holds': actor.name}
    return rows
