"""What an energy meter is: named channels, each an ever-growing sum of joules with a boundary and a quality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

BOUNDARIES = ('cpu_package', 'gpu_board', 'soc_module', 'dc_in', 'wall', 'battery', 'unknown')
KINDS = ('counter', 'sampled', 'external', 'battery', 'model')
QUALITIES = ('measured', 'estimated', 'none')


@dataclass(frozen=True, slots=True)
class Channel:
    """One thing a meter counts, in the fields of the result file's ``meters[]``.

    Attributes:
        id: unique within a run.
        driver: plug-in name.
        kind: ``counter``, ``sampled``, ``external``, ``battery`` or ``model``.
        boundary: whose joules: ``cpu_package``, ``gpu_board``, ``soc_module``, ``dc_in``, ``wall``, ``battery`` or
            ``unknown``. Joules of different boundaries are never compared.
        quality: ``measured``, ``estimated`` or ``none``.
        path_or_device: where it is read.
        unit_raw: unit of the raw reading.
        update_period_s: how often the source renews its value, s; None where unknown.
        resolution_j: step of the raw reading, J; None where unknown.
        accuracy_pct: None where nobody states it.
        accuracy_source: who states it.
        wrap_range_j: where the raw counter wraps, J; None where it does not.
        overlaps: ids of channels that count some of the same joules; never sum these.
    """

    id: str
    driver: str
    kind: str
    boundary: str
    quality: str
    path_or_device: str
    unit_raw: str
    update_period_s: float | None = None
    resolution_j: float | None = None
    accuracy_pct: float | None = None
    accuracy_source: str | None = None
    wrap_range_j: float | None = None
    overlaps: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields as they stand in a result file."""
        return asdict(self) | {'overlaps': list(self.overlaps)}


def channel_of(row: Mapping[str, Any]) -> Channel:
    """The channel behind an entry of a result file's ``meters[]``."""
    fields: dict[str, Any] = {k: v for k, v in row.items() if k in Channel.__dataclass_fields__}
    return Channel(**{**fields, 'overlaps': tuple(fields.get('overlaps', ()))})


@dataclass(frozen=True, slots=True)
class Sample:
    """The unwrapped sum of one channel.

    Attributes:
        joules: since the meter was opened, J.
        faults: how many readings so far could not be trusted; what fell between them is missing from ``joules``.
        problem: the last of them, in words; empty where there was none.
        t_ns: when it was read, ns of CLOCK_MONOTONIC; None from a meter that does not say.
    """

    joules: float
    faults: int = 0
    problem: str = ''
    t_ns: int | None = None


class Meter(Protocol):
    """An energy source. One object owns the sums and is read from one thread only.

    A class may set ``on_request = True``: then ``auto`` leaves it out, because it needs to be told something;
    ``argument``, words for what that is; ``slow = True``: a reading may take longer than some milliseconds.
    """

    channels: tuple[Channel, ...]
    reason: str
    """Why there are no channels; empty where there are."""
    guard_s: float
    """Longest time between two reads, s: before a counter wraps, or the sampling interval of a source of power."""

    def read(self) -> Mapping[str, Sample]:
        """Read every channel now: id to sum."""
        ...

    def close(self) -> None:
        """Let go of the source."""
        ...


def window_joules(before: Sample, after: Sample) -> float | None:
    """Energy between two samples of a channel, J; None where a reading in between could not be trusted."""
    return None if after.faults != before.faults else after.joules - before.joules


def headline(channels: Iterable[Channel]) -> tuple[str, ...]:
    """Ids of the first boundary's channels that share no joules, so that they may be summed; measured ones first."""
    chosen: list[Channel] = []
    for channel in sorted(channels, key=lambda c: c.quality != 'measured'):
        fits = not chosen or channel.boundary == chosen[0].boundary
        if fits and not any(c.id in channel.overlaps for c in chosen):
            chosen.append(channel)
    return tuple(c.id for c in chosen)
