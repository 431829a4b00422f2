"""Training curves as a JSON document and as one SVG picture; no library, no server."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

SHOWN = (('return', 'return'), ('success', 'success'), ('held', 'held'), ('torque_nm', 'mean torque, N·m'),
         ('kl', 'divergence per update'), ('explained', 'explained variance of the critic'),
         ('noise', 'noise of the actions'))
WIDTH, HEIGHT, MARGIN, COLUMNS = 420, 190, 40, 2
SMOOTH = 0.9


def write_curves(folder: Path, title: str, curve: Sequence[Mapping[str, float]], facts: Mapping[str, Any]) -> None:
    """Write ``curves.json`` and ``curves.svg`` into a folder.

    Args:
        folder: of the run.
        title: over the picture.
        curve: numbers of each update.
        facts: what else belongs into the document, e.g. seconds by part.
    """
    rows = [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in curve]
    (folder / 'curves.json').write_text(json.dumps({'title': title, **facts, 'curve': rows}, indent=1) + '\n')
    (folder / 'curves.svg').write_text(picture(title, curve))


def picture(title: str, curve: Sequence[Mapping[str, float]]) -> str:
    """The text of the SVG: one small plot per quantity, raw values pale and a running mean over them."""
    lines = -(-len(SHOWN) // COLUMNS)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * WIDTH}" height="{lines * HEIGHT + 30}" '
             'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{MARGIN}" y="20" font-size="14">{escape(title)}</text>']
    for place, (name, words) in enumerate(SHOWN):
        left, top = place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT + 30
        points = [(k + 1, row[name]) for k, row in enumerate(curve) if math.isfinite(row.get(name, math.nan))]
        parts.append(_plot(left, top, words, points, len(curve)))
    return '\n'.join([*parts, '</svg>']) + '\n'


def _plot(left: int, top: int, words: str, points: Sequence[tuple[int, float]], updates: int) -> str:
    head = f'<text x="{left + MARGIN}" y="{top + 14}">{escape(words)}</text>'
    if not points:
        return head
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = high - low or 1.0

    def at(x: float, y: float) -> str:
        across = left + MARGIN + (WIDTH - 2 * MARGIN) * x / max(updates, 1)
        return f'{across:.1f},{top + HEIGHT - 20 - (HEIGHT - 50) * (y - low) / span:.1f}'

    mean, smooth = points[0][1], []
    for x, y in points:
        mean = SMOOTH * mean + (1.0 - SMOOTH) * y
        smooth.append((x, mean))
    raw, line = (' '.join(at(x, y) for x, y in row) for row in (points, smooth))
    labels = ''.join(f'<text x="{left + 2}" y="{y}">{value:.3g}</text>'
                     for y, value in ((top + HEIGHT - 18, low), (top + 34, high)))
    return (f'{head}{labels}<polyline points="{raw}" fill="none" stroke="#bcd" stroke-width="1"/>'
            f'<polyline points="{line}" fill="none" stroke="#036" stroke-width="1.5"/>'
            f'<text x="{left + WIDTH - MARGIN}" y="{top + HEIGHT - 6}" text-anchor="end">{updates} updates</text>')
