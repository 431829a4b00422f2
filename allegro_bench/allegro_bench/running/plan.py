"""What a run will do and how long that takes, told before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allegro_bench.running.engines import NULL, Engine
from allegro_bench.running.order import order
from allegro_bench.running.profiles import Profile
from allegro_bench.running.workload import Workload

LOAD_S = 2.5
"""Start of a measuring process and loading, roughly."""
CACHE_S = 10.0
"""Longest cache test."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a run: what, of which backend, in which round, and least and most seconds."""

    kind: str
    backend: str
    round: int
    least_s: float
    most_s: float


def steps(chosen: Workload, engines: Sequence[Engine], reference: Engine, profile: Profile, seed: int, *,
          reverse: bool = False) -> list[Planned]:
    """Every step of a run, in order."""
    warm = LOAD_S + max(profile.warm_s, profile.warm_ticks * chosen.period_ns * 1e-9)
    cap = LOAD_S + profile.warm_cap_s

    def block(kind: str, name: str, number: int, more: float = 0.0, most: float = 0.0) -> Planned:
        return Planned(kind, name, number, warm + profile.block_s + more, cap + profile.block_s + more + most)

    found = [Planned('idle_before', '', 0, profile.idle_s, profile.idle_s), block('reference', reference.name, 0)]
    rounds = order([e.name for e in engines], profile.blocks, seed, reverse=reverse)
    for number in range(profile.blocks):
        found.append(block('null', NULL, number))
        more = profile.loaded_idle_s if number == 0 else 0.0
        cache = CACHE_S if number == 0 and profile.cache_calls else 0.0
        found += [block('measure', name, r, more, cache) for r, name in rounds if r == number]
    found += [block('reference', reference.name, 1),
              Planned('idle_after', '', 0, profile.idle_s, profile.idle_s)]
    return found


def words(chosen: Workload, engines: Sequence[Engine], reference: Engine, profile: Profile, planned: Sequence[Planned],
          left: Sequence[str], notes: Sequence[str]) -> str:
    """The plan for a reader."""
    ticks = round(profile.block_s / chosen.period_ns * 1e9)
    least, most = sum(p.least_s for p in planned), sum(p.most_s for p in planned)
    lines = [
        f'workload   {chosen.name} at {chosen.rate_hz:g} Hz, deadline {chosen.deadline_ms:g} ms, {chosen.on_overrun} '
        f'on overrun; {"from measured arrays to joint targets" if chosen.whole else "policy on ready observations"}, '
        f'{chosen.source} observations',
        f'backends   {", ".join(e.name for e in engines)}; null for the floor',
        f'reference  {reference.name} opens and closes the run',
        f'profile    {profile.name}: {profile.blocks} x {profile.block_s:g} s of each, {profile.blocks * ticks} ticks'
        + ('' if profile.published else '; not for publication'),
        'order      ' + ' | '.join(_round(planned, r) for r in range(profile.blocks)),
        f'takes      {_minutes(least)}, at most {_minutes(most)} if the machine does not become steady',
    ]
    lines += [f'left out   {line}' for line in left] + [f'note       {line}' for line in notes]
    return '\n'.join(lines)


def _round(planned: Sequence[Planned], number: int) -> str:
    return ' '.join(p.backend for p in planned if p.kind in ('measure', 'null') and p.round == number)


def _minutes(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'
