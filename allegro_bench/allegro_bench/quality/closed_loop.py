"""Episodes of TactileHold under a candidate and its own lateness, on several processes; seeds alone decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from allegro_ai.bundle import Bundle, load_bundle
from allegro_ai.evaluation.trials import kind_of
from allegro_ai.policy import GraphPolicy
from allegro_ai.tasks.lanes import STEPS, SUBSTEPS, Outcome
from allegro_ai.tasks.tactile_hold import episodes
from allegro_ai.tasks.workers import Workers
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation.rig import Places
from numpy.typing import NDArray

from allegro_bench.quality.candidates import Candidate
from allegro_bench.quality.delay import episode_plan
from allegro_bench.quality.late_lanes import LateLanes

CHUNK = 16
"""Episodes of one piece of work: enough to keep the arrays busy, few enough for a lively bar."""

Observation = dict[str, NDArray[np.float32]]
Watch = Callable[[LateLanes, Places, Observation], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What episodes are played.

    Attributes:
        model, side: the hand.
        bundle: path of the policy. sha256: its fingerprint.
        object_set, level: of the episodes.
        randomise: hands drawn per episode, or the nominal one.
    """

    model: str
    side: str
    bundle: str
    sha256: str
    object_set: str
    level: str
    randomise: bool = True


@dataclass(frozen=True, slots=True)
class Played:
    """One episode of one candidate.

    Attributes:
        seed: of the episode.
        success: the judgement of what happened to the object. kind: ``held``, or how it failed.
        inferences: computed under the policy.
        released: ticks released under the policy, skipped ones included.
        late_ms: mean response of the inferences, ms.
        seconds: simulated time under the policy, s.
        gave_up: the loop, because the policy was too slow for it, or answered what is no number.
    """

    seed: int
    success: bool
    kind: str
    inferences: int
    released: int
    late_ms: float
    seconds: float
    gave_up: bool = False

    @property
    def won(self) -> bool:
        """A success under control to its end. A loop that gave up soon stops commanding, and the driver relaxes."""
        return self.success and not self.gave_up


def play(scene: Scene, candidate: Candidate, seeds: Sequence[int], watch: Watch | None = None) -> list[Played]:
    """Play episodes in this process, one row each in the order of ``seeds``.

    Args:
        scene: what is played.
        candidate: who decides, and how late.
        seeds: one per episode.
        watch: called with lanes, those that decide, and their observations, before each step under the policy.

    Raises:
        ConfigError: the policy is not the one that was meant.
        AllegroError: the engine cannot load the graph.
    """
    bundle = loaded(scene)
    policies = candidate.policies(bundle, len(seeds))
    plans = [episode_plan(candidate.trace, seed, period_ns=candidate.period_ns, count=STEPS, steps=SUBSTEPS,
                          on_overrun=candidate.on_overrun, limit=candidate.limit) for seed in seeds]
    todo = episodes(bundle.model, seeds, scene.level, scene.object_set)
    outcomes: dict[int, Outcome] = {}
    released, broken = np.zeros(len(seeds), dtype=np.intp), np.zeros(len(seeds), dtype=bool)
    lanes = LateLanes(bundle.model, plans, randomise=scene.randomise)
    try:
        for k, episode in enumerate(todo):
            lanes.start(k, episode)
        action = np.zeros((len(seeds), len(bundle.model.joints)))
        while len(outcomes) < len(seeds):
            which = np.array([k for k in range(len(seeds)) if k not in outcomes])
            seen = lanes.observe(which)
            running = lanes.running
            deciding = np.flatnonzero(lanes.deciding(which) & running)
            if watch is not None and deciding.size:
                watch(lanes, deciding, seen)
            for k in deciding.tolist():
                action[k] = acted(candidate.name, policies[k], {n: v[k:k + 1] for n, v in seen.items()})
                if not np.isfinite(action[k]).all():    # the loop holds on such an answer and does not ask again
                    broken[k], action[k] = True, 0.0
            released[which] += running[which]
            outcomes.update(lanes.step(which, action))
        decided = lanes.decided
    finally:
        lanes.close()
        policies[0].backend.close()
    rows = []
    for k, (seed, episode) in enumerate(zip(seeds, todo, strict=True)):
        result, holds = outcomes[k].result, plans[k].holds
        over = int(released[k]) if holds is None else min(int(released[k]), holds + 1)
        done = plans[k].ticks[:over].completed
        rows.append(Played(
            seed, result.success, kind_of(result, episode.grip_class, outcomes[k].unstable), int(decided[k]),
            int(released[k]), float(done.response_ns().mean()) * 1e-6 if len(done) else 0.0,
            float(released[k]) * candidate.period_ns * 1e-9,
            bool(broken[k] or (holds is not None and holds < released[k]))))
    return rows


def acted(name: str, policy: GraphPolicy, seen: Observation) -> NDArray[np.float64]:
    """The answer to one observation, terms (1, elements); (n_joints,).

    Raises:
        AllegroError: the engine failed, whatever it threw.
    """
    try:
        found: NDArray[np.float64] = np.array(policy.act({n: seen[n] for n in policy.inputs}), dtype=np.float64)[0]
        return found
    except AllegroError:
        raise
    except Exception as error:  # engines have no common base of their exceptions
        raise AllegroError(f'{name} failed: {type(error).__name__}: {" ".join(str(error).split())[:200]}') from error


@lru_cache(maxsize=2)
def loaded(scene: Scene) -> Bundle:
    """The policy of a scene, checked to be the one that was meant.

    Raises:
        ConfigError: it has changed.
    """
    bundle = load_bundle(scene.bundle, load_hand(scene.model, scene.side))
    if bundle.fingerprint != scene.sha256:
        raise ConfigError(f'{scene.bundle} has changed since the gate began; run it again')
    return bundle


class Keeper(Protocol):
    """Keeps pieces over the end of a process; see :class:`allegro_bench.quality.kept.Kept`."""

    def get(self, scene: Scene, who: Candidate, seeds: Sequence[int], /) -> list[Played] | None:
        """A piece that was finished before, or None."""

    def put(self, scene: Scene, who: Candidate, seeds: Sequence[int], played: Sequence[Played], /) -> None:
        """Keep a finished piece."""


@dataclass(frozen=True, slots=True)
class _Piece:
    scene: Scene
    candidate: Candidate
    seeds: tuple[int, ...]


def _play_piece(piece: _Piece) -> list[Played]:
    return play(piece.scene, piece.candidate, piece.seeds)


def play_all(scene: Scene, candidates: Sequence[Candidate], seeds: Sequence[int], workers: Workers | None,
             progress: Callable[[int], None] = lambda done: None, kept: Keeper | None = None) -> list[list[Played]]:
    """Play the same episodes with every candidate.

    Args:
        scene: what is played.
        candidates: who decides.
        seeds: one per episode, the same for all.
        workers: processes; None: this one.
        progress: called with the number of episodes that were finished since the last call.
        kept: where finished pieces are kept, and taken from.

    Returns:
        Rows for each candidate, in the order of ``seeds``.
    """
    chunks = [tuple(seeds[i:i + CHUNK]) for i in range(0, len(seeds), CHUNK)]
    found: dict[tuple[int, int], list[Played]] = {}
    todo: list[tuple[int, int]] = []
    for at, chunk in enumerate(chunks):     # candidates take turns, so that an early end compares all of them
        for index, one in enumerate(candidates):
            before = kept.get(scene, one, chunk) if kept else None
            if before is None:
                todo.append((index, at))
            else:
                found[index, at] = before
                progress(len(chunk))
    pieces = [_Piece(scene, candidates[index], chunks[at]) for index, at in todo]
    for (index, at), played in _finished(dict(zip(todo, pieces, strict=True)), workers):
        found[index, at] = played
        if kept:
            kept.put(scene, candidates[index], chunks[at], played)
        progress(len(chunks[at]))
    return [[row for at in range(len(chunks)) for row in found[index, at]] for index in range(len(candidates))]


def _finished(pieces: Mapping[tuple[int, int], _Piece],
              workers: Workers | None) -> Iterator[tuple[tuple[int, int], list[Played]]]:
    """Pieces as they are finished."""
    if workers is None:
        yield from ((key, _play_piece(piece)) for key, piece in pieces.items())
        return
    futures = {workers.submit(_play_piece, piece): key for key, piece in pieces.items()}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise AllegroError('a process that played episodes died: an engine crashed, or memory was short; what was '
                           'finished is kept, the same command goes on') from error


def pairs(reference: Sequence[Played], candidate: Sequence[Played]) -> Iterator[tuple[bool, bool]]:
    """Success of both on each episode.

    Raises:
        ConfigError: not the same episodes.
    """
    if [r.seed for r in reference] != [c.seed for c in candidate]:
        raise ConfigError('the reference and the candidate did not play the same episodes')
    return ((r.won, c.won) for r, c in zip(reference, candidate, strict=True))

