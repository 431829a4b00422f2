"""The gate: the open-loop check, then paired episodes until as many were played as the margin asks for.

How many that are follows from the share of pairs that differ, which is not known before. So the first stage assumes
it; what it then is decides whether more are played. Only that share is looked at, not which side it favours, so that a
candidate gains nothing from a second look; a candidate that has failed by then is not played on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from allegro_ai.bundle import Bundle
from allegro_ai.evaluation.intervals import McNemar, mcnemar
from allegro_ai.tasks.workers import Workers
from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.quality.candidates import Candidate, reference, why_not
from allegro_bench.quality.closed_loop import Keeper, Played, Scene, pairs, play_all
from allegro_bench.quality.noninferiority import FAIL, Difference, difference, pairs_needed
from allegro_bench.quality.open_loop import EPISODES, Deviation, Sequences, deviation, observed

FIRST_SEED = 700_000
"""Of the gate's episodes: none of them is in a table of an evaluation."""
OBSERVED_FROM = 900_000
"""First seed of the episodes whose observations the open-loop check uses."""
MOST = 3000
"""Pairs at most, where the number is left to the gate."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for.

    Attributes:
        margin: of non-inferiority, as a share.
        episodes: pairs; None: as many as :func:`~..noninferiority.pairs_needed` says, twice if need be.
        discordance: share of pairs that is assumed to differ.
        workers: processes.
        first_seed: of the episodes.
        most: pairs at most, where ``episodes`` is None.
    """

    margin: float = 0.03
    episodes: int | None = None
    discordance: float = 0.10
    workers: int = 2
    first_seed: int = FIRST_SEED
    most: int = MOST

    @property
    def first(self) -> int:
        """Pairs of the first stage."""
        return self.episodes or pairs_needed(self.discordance, self.margin)

    def checked(self) -> Settings:
        """Itself.

        Raises:
            ConfigError: a number outside of what is allowed.
        """
        if not 0.001 <= self.margin <= 0.5 or not (self.episodes is None or 1 <= self.episodes <= 100_000):
            raise ConfigError(f'--margin is {100 * self.margin:g} points, --episodes {self.episodes}; allowed: 0.1 to '
                              '50 points, 1 to 100000 episodes')
        if self.workers < 0 or self.first_seed < 0:
            raise ConfigError(f'--workers is {self.workers}, --first-seed {self.first_seed}; allowed: at least 0')
        return self


@dataclass(eq=False)
class Judged:
    """What came out for one candidate.

    Attributes:
        candidate: who.
        deviation: open loop, if it could be computed.
        reference, played: episodes of both, the same seeds in the same order.
        difference, counts: of the pairs, once they were played.
        problem: why it was not judged; '' if it was.
    """

    candidate: Candidate
    deviation: Deviation | None = None
    reference: list[Played] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    difference: Difference | None = None
    counts: McNemar | None = None
    problem: str = ''

    def judge(self) -> None:
        """Count the pairs."""
        both = list(pairs(self.reference, self.played))
        counts = mcnemar([r for r, _ in both], [c for _, c in both])
        self.counts, self.difference = counts, difference(len(both), counts.only_a, counts.only_b)


class Gate:
    """One gate over the candidates of a policy. Call :meth:`look`, then :meth:`play`."""

    def __init__(self, bundle: Bundle, scene: Scene, candidates: Sequence[Candidate], settings: Settings) -> None:
        """Nothing is played yet."""
        self.bundle, self.scene, self.settings = bundle, scene, settings
        self.reference = reference(bundle, candidates[0].period_ns if candidates else 20_000_000)
        self.judged = [Judged(one) for one in candidates]
        self.seconds_per_episode = 0.0
        self._kept: Keeper | None = None

    def look(self, sequences: Sequences | None = None) -> None:
        """The open-loop check of every candidate; one that cannot even answer is not played.

        Args:
            sequences: recorded observations; None: those of :data:`EPISODES` episodes under the reference.
        """
        began = time.monotonic()
        seen = sequences
        if seen is None:
            seen = observed(self.scene, self.reference, range(OBSERVED_FROM, OBSERVED_FROM + EPISODES))
            self.seconds_per_episode = (time.monotonic() - began) / EPISODES
        for one in self.judged:
            try:
                one.deviation = deviation(self.bundle, self.reference, one.candidate, seen)
            except AllegroError as error:
                one.problem = why_not(error)

    @property
    def open(self) -> list[Judged]:
        """Candidates that can be played."""
        return [one for one in self.judged if not one.problem]

    def planned(self) -> tuple[int, float | None]:
        """Episodes of the first stage, the reference's included, and how long they take, s, if that is known."""
        total = self.settings.first * (1 + len(self.open))
        share = self.seconds_per_episode / max(1, self.settings.workers)
        return total, total * share if share else None

    def play(self, progress: Callable[[int, int, str], None] = lambda done, total, text: None,
             kept: Keeper | None = None) -> None:
        """Play and judge, in one stage or in two; pieces that were kept are not played again."""
        self._kept = kept
        if not self.open:
            return
        with (nullcontext() if self.settings.workers == 1 else Workers(self.settings.workers)) as workers:
            first = self.settings.first
            self._stage(self.open, 0, first, workers, progress)
            if self.settings.episodes is not None:
                return
            more: dict[int, list[Judged]] = {}
            for one in self.open:
                if (needed := self.needed(one)) > first:
                    more.setdefault(needed, []).append(one)
            done = first
            for needed in sorted(more):     # the reference is played once for all that go on
                going = [one for n in more if n >= needed for one in more[n]]
                self._stage(going, done, needed, workers, progress)
                done = needed

    def needed(self, one: Judged) -> int:
        """Pairs that the share of differing ones asks for; no more than were played where it has failed."""
        found = one.difference
        assert found is not None
        if found.verdict(self.settings.margin) == FAIL or not found.discordance:
            return found.n
        return min(self.settings.most, pairs_needed(found.discordance, self.settings.margin))

    def _stage(self, going: Sequence[Judged], begin: int, end: int, workers: Workers | None,
               progress: Callable[[int, int, str], None]) -> None:
        seeds = range(self.settings.first_seed + begin, self.settings.first_seed + end)
        total, done = len(seeds) * (1 + len(going)), 0
        text = f'pairs {begin + 1} to {end}'
        progress(0, total, text)

        def told(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total, text)

        rows = play_all(self.scene, [self.reference, *(one.candidate for one in going)], seeds, workers, told,
                        self._kept)
        for one, mine in zip(going, rows[1:], strict=True):
            one.reference += rows[0]
            one.played += mine
            one.judge()
