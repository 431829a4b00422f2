"""SlipArrest, policies side by side on the same unseen episodes: arrest, slip, latency, squeeze, and the slip detector.

False alarms are also counted where nothing slips by design: in episodes without an event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.rig import Places
from allegro_description.simulation.slip import SlipEpisode, SlipResult
from numpy.typing import NDArray

from allegro_ai.evaluation.intervals import wilson
from allegro_ai.observation import Observation
from allegro_ai.tasks.lanes import CONTROL_S
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.slip_arrest import FIRST_STEP, VERSION, Grips, SlipArrest, SlipLanes
from allegro_ai.tasks.workers import Workers

CHUNK = 25                      # fixed: float32 rounds differently with the batch size
QUIET_S = 0.5                   # alarms closer together are one
SLIP = 'slip_probability'


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One row: a name and a policy of the table."""

    name: str
    policy: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Piece:
    """What some episodes gave: results, and per step under the policy the detector's word, the truth, the episode."""

    results: list[SlipResult]
    said: NDArray[np.float32]
    truth: NDArray[np.bool_]
    owner: NDArray[np.intp]


def run_piece(
    model: str, side: str, policy: str, arguments: Mapping[str, Any], seeds: Sequence[int], grips: Sequence[Grips],
    object_set: str,
) -> Piece:
    """Run some episodes in this process."""
    hand = load_hand(model, side)
    acting = make_policy(hand, policy, arguments)
    said: list[NDArray[np.float32]] = []
    truth: list[NDArray[np.bool_]] = []
    owner: list[Places] = []

    def watch(lanes: SlipLanes, which: Places, observation: Observation, action: NDArray[Any]) -> None:
        now = which[lanes.clock[which] >= FIRST_STEP]
        word = detector_word(acting, observation)
        if word is not None and now.size:
            said.append(word[now])
            truth.append(lanes.judge.slipping[now].copy())
            owner.append(now)

    results = SlipArrest(hand, [SlipEpisode(hand, s, object_set) for s in seeds], grips).run(acting, watch=watch)
    if not said:
        return Piece(results, np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, np.intp))
    return Piece(results, np.concatenate(said), np.concatenate(truth), np.concatenate(owner))


def detector_word(policy: Any, observation: Observation) -> NDArray[np.float32] | None:
    """What the policy says about slipping, (batch,); None if it says nothing."""
    extra = getattr(policy, 'extra', {})
    if SLIP in extra:
        return np.asarray(extra[SLIP], dtype=np.float32)[:, 0]
    if hasattr(policy, 'detects'):
        return np.asarray(policy.detects(observation), dtype=np.float32)
    return None


def evaluate_slip(
    hand: HandModel, entrants: Sequence[Entrant], known: Mapping[int, Grips], workers: Workers, *, object_set: str,
    threshold: float = 0.5, progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Run every entrant on the same episodes; returns a JSON document with one row each."""
    seeds = sorted(known)
    chunks = [seeds[k:k + CHUNK] for k in range(0, len(seeds), CHUNK)]
    futures = [[workers.submit(run_piece, hand.model, hand.side, e.policy, e.arguments, c, [known[s] for s in c],
                               object_set) for c in chunks] for e in entrants]
    rows, done = [], 0
    for entrant, pieces in zip(entrants, futures, strict=True):
        found = []
        for future, chunk in zip(pieces, chunks, strict=True):
            found.append(future.result())
            done += len(chunk)
            progress(done, len(seeds) * len(entrants))
        rows.append(_row(entrant.name, found, threshold))
    return {'task': VERSION, 'simulated': True, 'hand': hand.name, 'hand_sha256': hand.sha256, 'object_set': object_set,
            'n': len(seeds), 'seeds': [seeds[0], seeds[-1]], 'threshold': threshold, 'interval': 'Wilson 95 %',
            'rows': rows}


def _row(name: str, pieces: Sequence[Piece], threshold: float) -> dict[str, Any]:
    results = [r for piece in pieces for r in piece.results]
    happened = [r for r in results if r.event != 'none']
    slipped = [r for r in happened if r.slipped]
    rates = {
        'success': _rate(r.success for r in results), 'held': _rate(r.held for r in results),
        'arrested': _rate(r.arrested for r in slipped),
        'calm': _rate(not r.slipped and r.held for r in results if r.event == 'none'),
    }
    slip, latency, squeeze = ([getattr(r, f) for r in rows] for rows, f in (
        (happened, 'slip_mm'), (slipped, 'latency_s'), ([r for r in results if r.held], 'squeeze')))
    return {
        'name': name, 'n': len(results), **rates,
        'slip_mm': _quantiles(slip), 'latency_s': _quantiles(latency), 'squeeze': _quantiles(squeeze),
        'events': {event: _rate(r.success for r in results if r.event == event)
                   for event in dict.fromkeys(r.event for r in results)},
        'detector': _judgedetector_word(pieces, threshold), 'episodes': [asdict(r) for r in results],
    }


def _rate(values: Any) -> dict[str, Any]:
    flags = [bool(v) for v in values]
    count = sum(flags)
    return {'count': count, 'n': len(flags), 'rate': count / len(flags) if flags else None,
            'ci95': list(wilson(count, len(flags)))}


def _quantiles(values: Sequence[float]) -> dict[str, float | None]:
    kept = [v for v in values if math.isfinite(v)]
    return {name: float(np.percentile(kept, q)) if kept else None for name, q in (('median', 50), ('p95', 95))}


def _judgedetector_word(pieces: Sequence[Piece], threshold: float) -> dict[str, Any] | None:
    if not any(piece.said.size for piece in pieces):
        return None
    said, truth = np.concatenate([p.said for p in pieces]), np.concatenate([p.truth for p in pieces])
    alarm = said >= threshold
    right = int((alarm & truth).sum())
    precision, recall = right / max(int(alarm.sum()), 1), right / max(int(truth.sum()), 1)
    alarms = steps = 0
    for piece in pieces:
        for k, result in enumerate(piece.results):
            if result.event == 'none':
                mine = piece.owner == k
                alarms += false_alarms(piece.said[mine] >= threshold, piece.truth[mine])
                steps += int(mine.sum())
    return {'auroc': auroc(said, truth), 'precision': precision, 'recall': recall,
            'f1': 2 * precision * recall / max(precision + recall, 1e-12), 'false_alarms': alarms,
            'false_alarms_per_min': alarms / (steps * CONTROL_S / 60.0) if steps else None}


def false_alarms(alarm: NDArray[np.bool_], truth: NDArray[np.bool_]) -> int:
    """Alarms of one episode that begin while nothing slips, at least half a second after the last one."""
    gap, last, count = round(QUIET_S / CONTROL_S), -10**9, 0
    for step in np.flatnonzero(alarm).tolist():
        if step - last > gap and not truth[step]:
            count += 1
        last = step
    return count


def auroc(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Chance that a random slipping moment scores higher than a random still one, ties half; None without either."""
    positive = int(truth.sum())
    negative = truth.size - positive
    if not positive or not negative:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[place.reshape(-1)]
    return float((rank[truth].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def markdown(document: Mapping[str, Any]) -> str:
    """The table of a document."""
    lines = [
        '| policy | n | success, % [95 %] | held, % | arrested, % of those that slip [95 %] | slip median / p95, mm '
        '| latency median / p95, ms | squeeze, median | detector: AUROC, F1, false alarms a minute |',
        '|---|---|---|---|---|---|---|---|---|',
    ]

    def percent(rate: Mapping[str, Any], interval: bool = True) -> str:
        if rate['rate'] is None:
            return '–'
        low, high = rate['ci95']
        return f'{100 * rate["rate"]:.1f}' + (f' [{100 * low:.1f}, {100 * high:.1f}]' if interval else '')

    def pair(values: Mapping[str, Any], scale: float, form: str) -> str:
        return ' / '.join('–' if v is None else format(scale * v, form) for v in values.values())

    for row in document['rows']:
        word = row['detector']
        tells = '–' if word is None else ', '.join(
            '–' if word[k] is None else f'{word[k]:.2f}' for k in ('auroc', 'f1', 'false_alarms_per_min'))
        squeeze = row['squeeze']['median']
        lines.append(
            f'| {row["name"]} | {row["n"]} | {percent(row["success"])} | {percent(row["held"], False)} '
            f'| {percent(row["arrested"])} | {pair(row["slip_mm"], 1.0, ".1f")} | {pair(row["latency_s"], 1e3, ".0f")} '
            f'| {"–" if squeeze is None else f"{squeeze:.2f}"} | {tells} |')
    return '\n'.join(lines)
