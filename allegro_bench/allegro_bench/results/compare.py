"""Two results, or two backends of one, against each other; what may not be compared is refused with the reason.

Backends of one run met the same machine round by round and are compared in pairs. Two runs did not: their blocks are
compared as two samples, unless they followed the same order and the user says that they belong together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from allegro_description.errors import ConfigError

from allegro_bench.results import blocks
from allegro_bench.results.comparisons import GROSS, compared, distinguishable, per_round
from allegro_bench.results.cost import summed
from allegro_bench.results.document import load
from allegro_bench.results.validity import INVALID
from allegro_bench.results.verify import verify
from allegro_bench.statistics import CONFIDENCE, figures, student_t

TWO_SAMPLES = 'Welch t on logarithms of blocks'
UNITS = {'response_ms': 'ms', 'service_ms': 'ms', 'cpu_s_per_inference': 's', 'gross_j_per_inference': 'J'}


def refusals(a: Mapping[str, Any], b: Mapping[str, Any], *, energy: bool = True) -> list[str]:
    """Why two results may not be compared, one sentence each; none if they may.

    Args:
        a: one document.
        b: the other.
        energy: whether joules are to be compared too.
    """
    found = [f'{name} is invalid ({", ".join(sorted({r["code"] for r in one["validity"]["reasons"]}))})'
             for name, one in (('A', a), ('B', b)) if one['validity']['status'] == INVALID]
    for what, path in (('workload', ('workload', 'hash')), ('profile', ('run', 'profile')),
                       ('length of blocks', ('run', 'settings', 'block_s'))):
        one, two = _at(a, path), _at(b, path)
        if one != two:
            found.append(f'their {what} differs: {str(one)[:16]} and {str(two)[:16]}')
    if energy:
        meters = [sorted({(m['boundary'], m['quality']) for m in d['meters']}) for d in (a, b)]
        if meters[0] != meters[1]:
            words = [', '.join(f'{boundary} ({quality})' for boundary, quality in one) or 'none' for one in meters]
            found.append(f'their meters measure different things: {words[0]} and {words[1]}; --no-energy leaves joules '
                         'out')
    return found


def _at(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def compare(one: Path, two: Path, *, force: bool = False, paired: bool = False, energy: bool = True,
            names: Sequence[str] = ()) -> dict[str, Any]:
    """Compare two results, or, given the same folder twice, the backends of one run.

    Args:
        one: folder of A.
        two: folder of B.
        force: compare in spite of :func:`refusals`, which the output then states.
        paired: two runs whose rounds belong together (measured in turns, same order).
        energy: compare joules too.
        names: backends; default: all that both have.

    Returns:
        ``a``, ``b`` (machine and status), ``forced``, ``refusals``, ``rows``, each with both values, ratio A / B,
        interval and whether it leaves out 1.

    Raises:
        ConfigError: they may not be compared, or have no backend in common.
    """
    a, b = load(one), load(two)
    same = one.resolve() == two.resolve()
    reasons = refusals(a, b, energy=energy)[:1] if same else refusals(a, b, energy=energy)
    for name, folder in (('A', one),) if same else (('A', one), ('B', two)):
        problems = verify(folder)
        if problems:
            reasons.append(f'{name} does not verify ({len(problems)} problems, first: {problems[0]})')
    if paired and not same and a['run']['order'] != b['run']['order']:
        reasons.append('their blocks were not measured in the same order, so they form no pairs')
    if reasons and not force:
        raise ConfigError(f'A ({one}) and B ({two}) may not be compared: {"; ".join(reasons)}. --force compares them '
                          'nevertheless and says so in the output')
    rows = _inside(a, one, names) if same else _across((a, one), (b, two), names, paired=paired)
    if not rows:
        raise ConfigError(f'there is nothing to compare: A has {", ".join(blocks.backends(a))}, B has '
                          f'{", ".join(blocks.backends(b))}')
    kept = [r for r in rows if energy or r['metric'] != GROSS]
    workload = {k: a['workload'][k] for k in ('name', 'hash', 'control_rate_hz')}
    return {'a': _card(a), 'b': _card(b), 'workload': workload, 'profile': a['run']['profile'],
            'forced': bool(reasons), 'refusals': reasons, 'rows': kept,
            'boundary': sorted({m['boundary'] for m in a['meters'] if m['id'] in summed(a)}) or None}


def _card(document: Mapping[str, Any]) -> dict[str, Any]:
    system = document['system']
    return {'run': document['run']['id'], 'created_utc': document['run']['created_utc'], 'system': system['id'],
            'cpu': system['cpu']['model'], 'host_class': system['host_class'], 'power_mode': system['power_mode'],
            'status': document['validity']['status'],
            'reasons': sorted({r['code'] for r in document['validity']['reasons']})}


def _inside(document: Mapping[str, Any], folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    values = {n: per_round(document, folder, n) for n in blocks.backends(document)}
    return [_row(row, values[row['a']][row['metric']], values[row['b']][row['metric']], pairs=True)
            for row in document['comparisons'] if not names or {row['a'], row['b']} <= set(names)]


def _across(one: tuple[Mapping[str, Any], Path], two: tuple[Mapping[str, Any], Path], names: Sequence[str], *,
            paired: bool) -> list[dict[str, Any]]:
    rows = []
    common = [n for n in blocks.backends(one[0]) if n in blocks.backends(two[0]) and (not names or n in names)]
    for name in common:
        a, b = per_round(*one, name), per_round(*two, name)
        for metric in a.keys() & b.keys():
            row = compared(name, name, metric, a[metric], b[metric]) if paired else two_samples(
                name, metric, list(a[metric].values()), list(b[metric].values()))
            rows.append(_row(row, a[metric], b[metric], pairs=paired))
    return sorted(rows, key=lambda r: (common.index(r['a']), r['metric']))


def two_samples(name: str, metric: str, a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Ratio of the geometric means of two samples of blocks, with the interval of Welch's t for the logarithms."""
    one, two = [math.log(v) for v in a], [math.log(v) for v in b]
    middle = fmean(one) - fmean(two)
    ratio = {'value': math.exp(middle), 'lo': None, 'hi': None}
    if min(len(one), len(two)) > 1:
        parts = [variance(v) / len(v) for v in (one, two)]
        spread = math.sqrt(sum(parts))
        freedom = sum(parts) ** 2 / sum(p * p / (len(v) - 1) for p, v in zip(parts, (one, two), strict=True)) \
            if spread else min(len(one), len(two)) - 1
        half = student_t(0.5 + CONFIDENCE / 2, max(1, math.floor(freedom))) * spread
        ratio |= {'lo': math.exp(middle - half), 'hi': math.exp(middle + half)}
    return {'a': name, 'b': name, 'metric': metric, 'ratio': ratio, 'per_block': [], 'n_pairs': 0,
            'method': TWO_SAMPLES}


def _row(row: Mapping[str, Any], a: Mapping[int, float], b: Mapping[int, float], *, pairs: bool) -> dict[str, Any]:
    return {**row, 'unit': UNITS[row['metric'].partition('.')[0]], 'paired': pairs,
            'value_a': math.exp(fmean(math.log(v) for v in a.values())),
            'value_b': math.exp(fmean(math.log(v) for v in b.values())),
            'n_a': len(a), 'n_b': len(b), 'distinguishable': distinguishable(row['ratio'])}


def markdown(found: Mapping[str, Any]) -> str:
    """A comparison for a reader."""
    a, b, work = found['a'], found['b'], found['workload']
    lines = []
    if found['forced']:
        lines += ['> **FORCED.** These results may not be compared: ' + '; '.join(found['refusals']) + '.', '']
    lines += [f'Workload {work["name"]} at {work["control_rate_hz"]:g} Hz (`{work["hash"][:12]}`), profile '
              f'{found["profile"]}.']
    for name, card in (('A', a),) if a['run'] == b['run'] else (('A', a), ('B', b)):
        lines.append(f'{name}: {card["cpu"] or "unknown CPU"}, {card["host_class"] or "host class unknown"} (system '
                     f'`{card["system"]}`), {card["created_utc"][:10]}, {card["status"].upper()}'
                     + (f' ({", ".join(card["reasons"])})' if card['reasons'] else '') + '.')
    if found['boundary']:
        lines.append(f'Joules: gross, boundary {", ".join(found["boundary"])}.')
    inside = a['run'] == b['run']
    who, values = (['a', 'b'], ['of a', 'of b']) if inside else (['backend'], ['in A', 'in B'])
    head = [*who, 'metric', *values, 'ratio', '95 % interval', 'blocks', 'told apart', 'ratio of each pair']
    lines += ['', f'| {" | ".join(head)} |']
    lines.append('|' + '---|' * (lines[-1].count('|') - 1))
    for row in found['rows']:
        ratio, told = row['ratio'], {True: 'yes', False: 'no', None: 'n/a'}[row['distinguishable']]
        interval = 'n/a (one block)' if ratio['lo'] is None else f'{ratio["lo"]:.3f} to {ratio["hi"]:.3f}'
        cells = [*((row['a'], row['b']) if inside else (row['a'],)), row['metric'],
                 *(f'{figures(row[k])} {row["unit"]}' for k in ('value_a', 'value_b')), f'{ratio["value"]:.3f}',
                 interval, str(row['n_pairs']) if row['paired'] else f'{row["n_a"]}, {row["n_b"]}', told,
                 ' '.join(f'{r:.3f}' for r in row['per_block']) or '–']
        lines.append('| ' + ' | '.join(c.replace('|', '\\|') for c in cells) + ' |')
    how = ('Each ratio is that of one round, whose blocks were measured side by side; interval: bootstrap over pairs '
           'and Student t, the wider.' if found['rows'][0]['paired'] else
           'The two runs were not interleaved: blocks are two samples (Welch t on their logarithms), and what changed '
           'between the runs is in the ratio.')
    return '\n'.join([*lines, '', f'{how} “Told apart” means that the interval leaves out 1.', ''])
