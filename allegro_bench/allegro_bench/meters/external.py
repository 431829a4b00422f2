"""An instrument of its own that is asked over HTTP and answers JSON: a smart plug at the wall, a meter in the supply.

``external:http://ADDRESS/rpc/Switch.GetStatus?id=0`` reads a Shelly of the second generation or later. Others say
where their values are: ``external:dc_in=http://ADDRESS/state#power=out.w&energy_wh=out.total``.
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from allegro_description.errors import ConfigError

from allegro_bench.meters.counter import WrappingCounter
from allegro_bench.meters.meter import Channel, Sample
from allegro_bench.meters.opening import boundary_and_rest
from allegro_bench.meters.sampled import SampledPower
from allegro_bench.meters.sources import Clock, Source, SourceMeter, monotonic

Fetch = Callable[[str, float], bytes]
INTERVAL_S = 1.0
TIMEOUT_S = 0.5
"""A meter that is slow to answer must not make the others wait."""
REST_S = 5.0
"""After no answer it is not asked again for so long."""
MOST_BYTES = 65536
LIMIT_W = 20_000.0
FROZEN_S = 30.0
SHELLY = {'power': 'apower', 'energy_wh': 'aenergy.total'}
ENERGY_FROZEN_S = 600.0
"""The total of a plug is renewed once a minute and moves in steps of mWh: an idle board needs a while for one."""


def fetch(url: str, timeout_s: float) -> bytes:
    """The body of an answer.

    Raises:
        OSError: no answer, or one that says no.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout_s) as answer:
        body: bytes = answer.read(MOST_BYTES)
    return body


class ExternalMeter(SourceMeter):
    """Power, and total energy where it is offered, of one instrument."""

    argument = 'the address that answers JSON: [boundary=]http://…[#power=path&energy_wh=path]'
    on_request = True
    slow = True

    def __init__(self, address: str, clock: Clock = monotonic, fetcher: Fetch = fetch) -> None:
        """Ask once.

        Args:
            address: ``[boundary=]URL[#power=path&energy_wh=path]``; a path leads through the JSON with dots.
            clock: seconds, monotonic.
            fetcher: as :func:`fetch`.

        Raises:
            ConfigError: no such address, no answer, or no value at the path.
        """
        boundary, url = boundary_and_rest(address, 'wall')
        parts = urlsplit(url)
        if parts.scheme not in ('http', 'https') or not parts.netloc:
            raise ConfigError(f'external:{address}: allowed are http:// and https:// addresses')
        paths = dict(parse_qsl(parts.fragment)) or SHELLY
        if not paths.keys() <= {'power', 'energy_wh'}:
            raise ConfigError(f'external:{address}: after # are allowed power=path and energy_wh=path')
        self._url, self._fetch = urlunsplit(parts._replace(fragment='')), fetcher
        self._document: Any = None
        self._error: OSError | ValueError | None = None
        self._rest_until = -math.inf
        self._seconds = clock
        host = parts.hostname or ''
        self._ask()
        channels, sources = [], {}
        try:
            for kind, path in paths.items():
                name = f'external/{path}'
                sources[name] = self._source(kind, path, clock())
                channels.append(_channel(name, kind, boundary, 'external meter over HTTP', paths))
        except (OSError, ValueError) as error:
            raise ConfigError(f'external meter {host}: {error}') from error
        super().__init__(channels, sources, clock, INTERVAL_S)

    def read(self) -> Mapping[str, Sample]:
        """Ask once; the reading counts for the middle of question and answer."""
        asked = self._seconds()
        self._ask()
        middle = 0.5 * (asked + self._seconds())
        return {name: source.update(middle) for name, source in self._sources.items()}

    def _ask(self) -> None:
        now = self._seconds()
        if now < self._rest_until:
            return
        try:
            self._document, self._error = json.loads(self._fetch(self._url, TIMEOUT_S)), None
        except (OSError, ValueError) as error:
            denied = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403)
            why = 'it asks for a password; allow reading without one in its own network' if denied else str(error)
            self._document, self._error = None, OSError(f'no usable answer: {why}')
            self._rest_until = now + REST_S

    def _value(self, path: str) -> float:
        if self._error is not None:
            raise self._error
        value = self._document
        for key in path.split('.'):
            if not isinstance(value, dict) or key not in value:
                raise ValueError(f'its answer has no {path}')
            value = value[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f'{path} is {value!r:.40}, which is no number')
        return float(value)

    def _source(self, kind: str, path: str, now_s: float) -> Source:
        if kind == 'energy_wh':
            # Counted in mWh, which is what such instruments resolve.
            return WrappingCounter(lambda: round(self._value(path) * 1e3), 2**53, 3.6, LIMIT_W, now_s,
                                   frozen_s=ENERGY_FROZEN_S)
        return SampledPower(lambda: self._value(path), LIMIT_W, now_s, interval_s=INTERVAL_S, frozen_s=FROZEN_S,
                            sign_of_life=lambda: self._document)


def _channel(name: str, kind: str, boundary: str, where: str, paths: Mapping[str, str]) -> Channel:
    counts = kind == 'energy_wh'
    return Channel(
        id=name, driver='external', kind='external', boundary=boundary, quality='measured', path_or_device=where,
        unit_raw='Wh' if counts else 'W', update_period_s=60.0 if counts else INTERVAL_S,
        resolution_j=3.6 if counts else None,
        overlaps=tuple(f'external/{path}' for path in paths.values() if f'external/{path}' != name))
