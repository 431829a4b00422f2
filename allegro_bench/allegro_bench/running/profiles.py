"""How long a run measures: named profiles, so that results of the same name may be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from allegro_description.errors import ConfigError, UnknownName

CUSTOM = 'custom'
"""Name of a profile whose lengths were altered; such a result is never published."""

SEEDS = (11, 23, 37, 59, 71)
"""The published seeds of synthetic observations: round r of a run uses number r modulo 5."""

WINDOW, STEADY = 50, 0.02
"""A backend is steady once the median responses of three windows of so many ticks in a row differ by less than this,
or by no more than the scatter within the windows explains: their 95 % intervals share a value. Without the second
half, medians of 50 ticks on a machine that others share scatter by more than 2 % for ever and no run would begin."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Lengths of everything in a run.

    Attributes:
        name: ``quick``, ``standard``, ``long`` or ``custom``.
        blocks: measured blocks of each backend.
        block_s: length of a block, s.
        published: whether a result may be published.
        warm_ticks, warm_s: least warm-up at the control rate.
        warm_cap_s: a backend that is not steady by then makes the run invalid.
        idle_s: idle machine before and after the run, s.
        loaded_idle_s: loop with the model loaded but not called, once per backend, s.
        cool_s: longest wait for the temperature of the first block, s.
        cache_calls: calls with one and with distinct observations in the cache test; 0 leaves it out.
        cold: fresh processes whose loading and first inference count.
    """

    name: str
    blocks: int
    block_s: float
    published: bool = False
    warm_ticks: int = 100
    warm_s: float = 5.0
    warm_cap_s: float = 60.0
    idle_s: float = 60.0
    loaded_idle_s: float = 30.0
    cool_s: float = 60.0
    cache_calls: int = 500
    cold: int = 3

    def as_dict(self) -> dict[str, Any]:
        """The fields as they stand in a result file."""
        return asdict(self)


PROFILES = {
    'quick': Profile('quick', 3, 10.0, idle_s=5.0, loaded_idle_s=3.0),
    'standard': Profile('standard', 5, 120.0, published=True),
    'long': Profile('long', 5, 600.0, published=True, loaded_idle_s=60.0),
}
"""``quick`` shows that everything works, ``standard`` is what is compared, ``long`` is for p99.9 and beyond."""


def profile(name: str, block_s: float | None = None, blocks: int | None = None, base: Profile | None = None) -> Profile:
    """A profile by name; with another length or number of blocks it is ``custom`` and not for publication.

    ``base`` stands in for the name, for lengths that have none.

    Raises:
        UnknownName: no such profile.
        ConfigError: a block length outside 1 … 3600 s, or a number of blocks outside 1 … 100.
    """
    if base is None and name not in PROFILES:
        raise UnknownName('profile', name, PROFILES)
    found = base or PROFILES[name]
    if block_s is not None and not 1 <= block_s <= 3600:
        raise ConfigError(f'--block-s is {block_s:g}; allowed: 1 to 3600 s')
    if blocks is not None and not 1 <= blocks <= 100:
        raise ConfigError(f'--blocks is {blocks}; allowed: 1 to 100')
    altered = replace(found, block_s=block_s or found.block_s, blocks=blocks or found.blocks)
    return found if altered == found else replace(altered, name=CUSTOM, published=False)
