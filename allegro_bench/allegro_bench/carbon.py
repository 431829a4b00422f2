"""Operational carbon: kWh times the intensity of a grid that the user names. Nobody's country is guessed.

Grams follow from joules only; where energy is unknown, or no zone was given, there are none.
"""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from allegro_description.errors import ConfigError, UnknownName
from allegro_description.share import share_dir

J_PER_KWH = 3.6e6
TABLE = 'carbon/grid_intensity.csv'
SOURCE = ('Ember, Yearly Electricity Data (state of 2025-08-03), life cycle of generation, average, location-based; '
          'shipped table grid_intensity.csv')
MOST_INTENSITY = 2000.0
"""Burning lignite alone stays below this, g/kWh: a larger number is a slip of units."""
DIGITS = 2
"""More digits than these would claim a knowledge of the grid that nobody has."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """Carbon intensity of electricity.

    Attributes:
        g_per_kwh: CO2 equivalents.
        zone: country code, ``WORLD``, or None where the user gave a number.
        year: that it is of; None where the user gave a number.
        source: who says so.
        kind: ``average`` or ``marginal``.
    """

    g_per_kwh: float
    zone: str | None
    year: int | None
    source: str
    kind: str = 'average'

    def as_dict(self) -> dict[str, Any]:
        """The fields as they stand in a result file's ``carbon``."""
        fields = asdict(self)
        return {'intensity_g_per_kwh': fields.pop('g_per_kwh')} | fields


@lru_cache(maxsize=1)
def zones() -> dict[str, tuple[str, Intensity]]:
    """Shipped zones: code to (name, intensity); two-letter codes of countries, and ``WORLD``.

    Raises:
        ConfigError: the table is missing or damaged.
    """
    path = share_dir('allegro_bench') / TABLE
    try:
        lines = [line for line in path.read_text(encoding='utf-8').splitlines() if not line.startswith('#')]
        found = {row['zone']: (row['name'], Intensity(float(row['g_per_kwh']), row['zone'], int(row['year']), SOURCE))
                 for row in csv.DictReader(lines)}
        threes = {row['iso3']: row['zone'] for row in csv.DictReader(lines)}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f'{path} is no table of grid intensities: {error}. Reinstall the package.') from error
    return found | {three: found[two] for three, two in threes.items()}


def intensity_of(zone: str | None = None, g_per_kwh: float | None = None, *, source: str = '',
                 kind: str = 'average') -> Intensity | None:
    """The intensity that a user asked for.

    Args:
        zone: country code of two or three letters, or ``WORLD`` for the world's average; None: not stated.
        g_per_kwh: the user's own number; it wins, and ``zone`` is then only kept beside it.
        source: where that number is from.
        kind: ``average`` or ``marginal``, of that number.

    Returns:
        None where neither is given: then there is no carbon.

    Raises:
        UnknownName: a zone that the table lacks.
        ConfigError: a number that is no intensity.
    """
    if g_per_kwh is not None:
        if not 0.0 <= g_per_kwh <= MOST_INTENSITY or kind not in ('average', 'marginal'):
            raise ConfigError(f'grid intensity {g_per_kwh} g/kWh ({kind}); allowed: 0 … {MOST_INTENSITY:g}, average or '
                              'marginal. Was it in kg/kWh or g/MWh?')
        return Intensity(g_per_kwh, zone.upper() if zone else None, None, source or 'given by the user', kind)
    if zone is None:
        return None
    known = zones()
    if zone.upper() not in known:
        raise UnknownName('grid zone', zone, [z for z in known if len(z) == 2 or z == 'WORLD'],
                          'Another one: give its intensity in g/kWh.')
    return known[zone.upper()][1]


def operational(joules: float | None, intensity: Intensity | None) -> float | None:
    """Grams of CO2 equivalents of the energy in use; None where energy or intensity is unknown."""
    if joules is None or intensity is None or not math.isfinite(joules):
        return None
    return joules / J_PER_KWH * intensity.g_per_kwh


def sci(joules: float | None, intensity: Intensity | None, embodied_g: float | None, count: float) -> float | None:
    """Software Carbon Intensity, ((E * I) + M) / R, g per unit.

    Args:
        joules: E, gross.
        intensity: I.
        embodied_g: M, the share of making the machine that falls on this use, g. Without it there is no SCI.
        count: R, how many units (successful grasps, inferences, hours) that was.
    """
    used = operational(joules, intensity)
    if used is None or embodied_g is None or count <= 0:
        return None
    if not 0.0 <= embodied_g < math.inf:
        raise ConfigError(f'embodied carbon {embodied_g} g; allowed: a finite number that is not negative')
    return (used + embodied_g) / count


def rounded(grams: float | None) -> float | None:
    """At most two significant digits: what may be stored and printed."""
    return None if grams is None else float(f'{grams:.{DIGITS}g}')


def section(gross_j_per_inference: float | None, intensity: Intensity | None, rate_hz: float | None, *,
            j_per_success: float | None = None, embodied_g_per_hour: float | None = None) -> dict[str, Any] | None:
    """The ``carbon`` of a result's summary, or None where energy or intensity is unknown.

    Args:
        gross_j_per_inference: measured.
        intensity: of the grid.
        rate_hz: inferences per second that were achieved.
        j_per_success: joules per successful grasp, where known.
        embodied_g_per_hour: M per hour of use; only then an SCI (per hour) is stated.
    """
    grams = operational(gross_j_per_inference, intensity)
    if grams is None or gross_j_per_inference is None or intensity is None:
        return None
    per_hour = None if rate_hz is None else gross_j_per_inference * rate_hz * 3600.0
    full = sci(per_hour, intensity, embodied_g_per_hour, 1.0)
    return {
        'g_per_inference': rounded(grams), 'g_per_hour': rounded(operational(per_hour, intensity)),
        'g_per_success': rounded(operational(j_per_success, intensity)),
        'sci': None if full is None else {'g_per_hour': rounded(full), 'embodied_g_per_hour': embodied_g_per_hour},
        **intensity.as_dict(),
    }
