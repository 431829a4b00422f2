"""The leaderboard: a page and a table made from published results, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allegro_description.errors import AllegroError, ConfigError

from allegro_bench import page as pages
from allegro_bench.page import Html, paragraph, section
from allegro_bench.results.cost import summed
from allegro_bench.results.document import NAME, RESULT_FILE, load, read_any
from allegro_bench.results.intervals import known
from allegro_bench.results.tables import estimate
from allegro_bench.results.validity import INVALID
from allegro_bench.results.verify import verify
from allegro_bench.running.profiles import PROFILES
from allegro_bench.statistics import figures

BEGIN, END = '<!-- leaderboard -->', '<!-- /leaderboard -->'


@dataclass(frozen=True, slots=True)
class Board:
    """Published results.

    Attributes:
        entries: folder name and document, of each that may be shown.
        refused: folder name and why, of each that may not.
    """

    entries: tuple[tuple[str, dict[str, Any]], ...]
    refused: tuple[tuple[str, str], ...]


def collect(folder: Path) -> Board:
    """Every result below a folder; each is verified before it is shown.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f'{folder} is no folder of results')
    entries, refused = [], []
    for path in sorted(folder.rglob(RESULT_FILE)):
        name = path.parent.relative_to(folder).as_posix()
        try:
            if read_any(path.parent)['schema'].get('name') != NAME:
                continue
            why = unfit(path.parent)
            if why:
                refused.append((name, why))
            else:
                entries.append((name, load(path.parent)))
        except AllegroError as error:
            refused.append((name, str(error)))
    return Board(tuple(entries), tuple(refused))


def unfit(folder: Path) -> str:
    """Why a result may not be published, or ''."""
    document = load(folder)
    problems = verify(folder)
    if problems:
        return f'it does not verify: {problems[0]}' + (f' (and {len(problems) - 1} more)' if len(problems) > 1 else '')
    profile = PROFILES.get(document['run']['profile'])
    if profile is None or not profile.published:
        return f'profile {document["run"]["profile"]} is not for publication; measure with --profile standard'
    if document['validity']['status'] == INVALID:
        return 'it is invalid: ' + ', '.join(sorted({r['code'] for r in document['validity']['reasons']}))
    return ''


HEAD = ('backend', 'response p50 (ms)', 'p99 (ms)', 'missed', 'CPU per inference (ms)', 'gross energy', 'quality',
        'result')


def _groups(board: Board) -> dict[tuple[str, str], list[tuple[str, dict[str, Any], Mapping[str, Any]]]]:
    """Rows that may stand in one table: workload and machine; fastest p99 first, unknown ones last."""
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any], Mapping[str, Any]]]] = {}
    for name, document in board.entries:
        work, system = document['workload'], document['system']
        machine = ', '.join(str(p) for p in (system['cpu']['model'], system['board'], system['host_class'],
                                             f'{system["cpu"]["cores"]} cores', f'system {system["id"]}') if p)
        key = (f'{work["name"]} at {work["control_rate_hz"]:g} Hz (workload {work["hash"][:12]}, '
               f'{document["run"]["profile"]})', machine)
        found.setdefault(key, []).extend((name, document, e) for e in document['summary'])
    for rows in found.values():
        rows.sort(key=lambda r: (known(r[2]['response_ms']['p99']) is None, known(r[2]['response_ms']['p99']) or 0.0))
    return dict(sorted(found.items()))


def _cells(document: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    joules = summed(document)
    energy = 'none'
    if joules:
        energy = ', '.join(f'{estimate(entry["energy"][m]["gross_j_per_inference"], " mJ", 1e3)} '
                           f'({entry["energy"][m]["boundary"]})' for m in joules)
    gate = next((q for q in document['quality'] if q['backend'] == entry['backend'] and q['stage'] == 'closed_loop'),
                None)
    miss = entry['miss']
    return [entry['backend'] + (' *' if entry['at_floor'] else ''), estimate(entry['response_ms']['p50']),
            estimate(entry['response_ms']['p99']), f'{miss["missed"]} of {miss["n"]}',
            'n/a' if known(entry['cpu_s_per_inference']) is None else
            figures(entry['cpu_s_per_inference']['value'] * 1e3), energy, 'not judged' if gate is None else
            gate['verdict'].replace('_', ' ')]


def _verdict(document: Mapping[str, Any]) -> str:
    reasons = sorted({r['code'] for r in document['validity']['reasons']})
    status: str = document['validity']['status']
    return status.upper() + (f' ({", ".join(reasons)})' if reasons else '')


def markdown(board: Board) -> str:
    """The table for a README."""
    if not board.entries:
        return 'No published result yet: only verified runs of the profiles standard and long are listed.\n'
    lines: list[str] = []
    for (work, machine), rows in _groups(board).items():
        lines += [f'**{_md(work)}** on {_md(machine)}', '', '| ' + ' | '.join(HEAD) + ' |', '|' + '---|' * len(HEAD)]
        lines += ['| ' + ' | '.join(_md(c) for c in [*_cells(document, e), f'{name}: {_verdict(document)}']) + ' |'
                  for name, document, e in rows]
        lines.append('')
    return '\n'.join([*lines, NOTE, ''])


NOTE = ('Brackets: 95 % intervals. \\* at the floor of the harness: p99 below three times that of an empty loop. '
        'Energy “none”: no meter; nothing was estimated. Compare rows of one table only; for ratios with intervals use '
        '`allegro-bench compare`.')


def _md(text: str) -> str:
    return text.replace('|', '\\|').replace('*', '\\*').replace('<', '&lt;').replace('\n', ' ')


def insert(path: Path, text: str) -> None:
    """Write a table into a file: between the marks if it has them, else all of it.

    Raises:
        ConfigError: the file has one mark and not the other, or cannot be written.
    """
    try:
        old = path.read_text(encoding='utf-8') if path.exists() else ''
        if (BEGIN in old) != (END in old) or old.find(BEGIN) > old.find(END):
            raise ConfigError(f'{path} needs both marks, {BEGIN} before {END}, or neither')
        if BEGIN in old:
            before, _, rest = old.partition(BEGIN)
            text = f'{before}{BEGIN}\n{text.strip()}\n{END}{rest.partition(END)[2]}'
        path.write_text(text, encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write {path}: {error}') from error


def page(board: Board) -> str:
    """The page."""
    from allegro_bench.results.page import verdict_pill

    parts = ['<h1>What an inference costs</h1>', paragraph(
        'Published results: every one was computed again from its ticks before it was listed. Rows of one table share '
        'machine and workload; rows of different tables must not be compared.', 'dim')]
    for (work, machine), rows in _groups(board).items():
        body = []
        for name, document, entry in rows:
            codes = ', '.join(sorted({r['code'] for r in document['validity']['reasons']}))
            words = Html(f'{verdict_pill(document["validity"]["status"])} {pages.text(name)} '
                         f'<span class="dim">{pages.text(codes) if codes else ""}</span>')
            body.append([*_cells(document, entry), words])
        parts.append(section(work, paragraph(machine, 'note'), pages.table(HEAD, body)))
    if not board.entries:
        parts.append(paragraph('No published result yet.'))
    parts.append(paragraph(NOTE.replace('\\*', '*').replace('`', ''), 'note'))
    return pages.page('allegro_bench: leaderboard', '\n'.join(parts), '')
