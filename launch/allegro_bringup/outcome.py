"""The numbers a run ends with, as a person reads them: from ``result.json`` and the CPU times of the processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[str, str]


def rows(result: Mapping[str, Any], cpu_percent: Mapping[str, float]) -> list[Row]:
    """Return the table's rows. What was not measured is called so, never left out.

    Args:
        result: content of ``result.json``.
        cpu_percent: by process, percent of one core.
    """
    episodes, driver = result['episodes'], result['driver']
    torque = [row['mean_torque_nm'] for row in episodes['rows'] if row.get('mean_torque_nm') is not None]
    found = [
        ('episodes', str(episodes['n'])),
        ('held', _of(episodes['held'], episodes['n'], episodes['held_rate'])),
        ('mean torque', _number(sum(torque) / len(torque) if torque else None, 'N·m', 3)),
        ('loop on time', _number(_driver(driver, 'on_time', 'percent'), '%', 2)),
        ('loop jitter p99', _number(_driver(driver, 'jitter', 'p99'), 'µs', 0)),
    ]
    found += _inference(result)
    source = result['energy_source']
    # Why each of the meters is not there takes a paragraph; the report and the command have it.
    found.append(('energy', source['name'] + (' (allegro-bench meters says why)' if source.get('reason') else '')))
    found.append(('validity', result['validity']['status']))
    found += [(f'CPU {name}', f'{percent:.1f} % of one core') for name, percent in cpu_percent.items()]
    return found


def replay_rows(result: Mapping[str, Any]) -> list[Row]:
    """The table of a replay: what inference cost. Nothing was commanded, so nothing is said of episodes and driver."""
    return [*_inference(result), ('validity', result['validity']['status'])]


def _inference(result: Mapping[str, Any]) -> list[Row]:
    found = []
    for summary in result['summary'] or [{}]:
        miss = summary.get('miss') or {}
        found += [
            ('touch to command p50 / p99', _pair(summary.get('end_to_end_ms'))),
            (f'inference p50 / p99 ({summary.get("backend", "none seen")})', _pair(summary.get('service_ms'))),
            ('misses', f'{miss["missed"]} of {summary["n_expected"]} ticks' if miss else 'not measured'),
        ]
    return found


def remarks(result: Mapping[str, Any]) -> list[str]:
    """Return why a result is not fully valid, one sentence each."""
    return [str(reason.get('detail') or reason.get('code')) for reason in result['validity']['reasons']]


def _of(part: int, whole: int, rate: Mapping[str, Any]) -> str:
    if not whole:
        return 'none finished'
    low, high = rate.get('lo'), rate.get('hi')
    interval = f' (95 % interval {100 * low:.0f} to {100 * high:.0f} %)' if low is not None and high is not None else ''
    return f'{part} of {whole}{interval}'


def _driver(driver: Mapping[str, Mapping[str, float]], *parts: str) -> float | None:
    return next((v['last'] for key, v in driver.items() if all(part in key for part in parts)), None)


def _number(value: float | None, unit: str, digits: int) -> str:
    return 'not measured' if value is None else f'{value:.{digits}f} {unit}'


def _pair(distribution: Mapping[str, Any] | None) -> str:
    values = [((distribution or {}).get(p) or {}).get('value') for p in ('p50', 'p99')]
    if values[0] is None:
        return 'not measured'
    high = 'too few' if values[1] is None else f'{values[1]:.3f} ms'
    return f'{values[0]:.3f} ms / {high}'
