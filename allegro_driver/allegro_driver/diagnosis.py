"""What people and monitors get to know about a running hand: level, one sentence, values with units in their keys."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from allegro_driver.control.safety import State
from allegro_driver.hand import Hand
from allegro_driver.loop import LoopReport

OK, WARN, ERROR = 0, 1, 2
LOW_ON_TIME_PERCENT = 95.0


def diagnose(
    hand: Hand, report: LoopReport, on_time_percent: float, current_max_ma: float
) -> tuple[int, str, Mapping[str, object]]:
    """Judge a running hand.

    Args:
        hand: the hand.
        report: its timing so far.
        on_time_percent: share of samples answered on time since the last look.
        current_max_ma: highest motor current since the last look, mA.

    Returns:
        Level (0 OK, 1 WARN, 2 ERROR), one sentence, values.
    """
    status, identity = hand.status(), hand.hardware.identity
    level, message = OK, f'{status.state.value}: {status.reason}'
    if status.state is State.FAULT:
        level = ERROR
    elif status.listener_error:
        level, message = WARN, f'{message}; publishing failed: {status.listener_error}'
    elif on_time_percent < LOW_ON_TIME_PERCENT:
        level, message = WARN, f'{message}; only {on_time_percent:.0f} % of samples answered on time'
    elif status.warm:
        level, message = WARN, f'{message}; {status.warm}'
    elif identity.warnings:
        level, message = WARN, f'{message}; {identity.warnings[0]}'
    return level, message, {
        'state': status.state.value,
        'reason': status.reason,
        'faults': '; '.join(status.faults) or 'none',
        'control_mode': status.control_mode,
        'motion': status.motion or 'none',
        'serial': identity.serial or 'unknown',
        'side': identity.side or 'unknown',
        'version': identity.version,
        'sample_rate_hz': report.rate_hz,
        'samples': report.frames,
        'samples_lost': report.lost,
        'overruns': report.overruns,
        'on_time_percent': on_time_percent,
        'on_time_total_percent': report.on_time_percent,
        'jitter_p50_us': report.jitter_us.p50,
        'jitter_p99_us': report.jitter_us.p99,
        'jitter_p999_us': report.jitter_us.p999,
        'jitter_max_us': report.jitter_us.max,
        'turnaround_p50_us': report.turnaround_us.p50,
        'turnaround_p99_us': report.turnaround_us.p99,
        'turnaround_p999_us': report.turnaround_us.p999,
        'turnaround_max_us': report.turnaround_us.max,
        'command_age_p50_ms': report.command_age_ms.p50,
        'command_age_p99_ms': report.command_age_ms.p99,
        'commands_accepted': status.accepted,
        'commands_refused': status.refused,
        'last_refusal': status.last_refusal or 'none',
        'current_max_ma': current_max_ma,
        'temperature_max_c': _hottest(hand),
        'torque_limited_samples': status.torque_limited,
        'realtime': status.realtime,
        **hand.hardware.counts(),
    }


def _hottest(hand: Hand) -> float | str:
    last = hand.last
    hottest = np.nan if last is None or last.temperature_c is None else np.fmax.reduce(last.temperature_c)
    return 'unknown' if np.isnan(hottest) else float(hottest)
