"""``allegro-bench verify``, ``compare``, ``report``, ``leaderboard``; live profiles are recognised by their schema."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency

from allegro_bench import live_commands
from allegro_bench.results.document import NAME, load, read_any


def add_commands(commands: Any) -> None:
    """Register the sub-commands."""
    for name, words, run in (
            ('verify', 'compute every number of a result again from its ticks; name what does not follow', _verify),
            ('report', 'write report.html of a result or of a live profile again (needs plotly)', _report)):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument('folder', type=Path, metavar='FOLDER', help='what allegro-bench run or inference_profiler '
                             'wrote')
        if name == 'verify':
            command.add_argument('--json', action='store_true', help='print the problems as JSON')
        command.set_defaults(run=run)
    words = 'compare two results, or the backends of one; refuses what is unlike'
    command = commands.add_parser('compare', help=words, description=words)
    command.add_argument('a', type=Path, metavar='A', help='folder of a result')
    command.add_argument('b', type=Path, metavar='B', nargs='?', help='folder of another one; without it, the backends '
                         'of A among each other, in pairs')
    command.add_argument('--backends', nargs='+', default=[], metavar='NAME', help='only these')
    command.add_argument('--paired', action='store_true', help='rounds of the two runs belong together')
    command.add_argument('--no-energy', action='store_true', help='leave joules out; meters need not agree then')
    command.add_argument('--force', action='store_true', help='compare what is unlike; the output says so')
    command.add_argument('--json', action='store_true', help='print JSON instead of markdown')
    command.set_defaults(run=_compare)
    words = 'page and table of published results (standard or long, not invalid, verified)'
    command = commands.add_parser('leaderboard', help=words, description=words)
    command.add_argument('results', type=Path, metavar='RESULTS', help='folder that holds result folders')
    command.add_argument('--html', type=Path, metavar='FILE', help='write the page here')
    command.add_argument('--markdown', type=Path, metavar='FILE', help='write the table here; default: print it. In a '
                         'file with the marks <!-- leaderboard --> and <!-- /leaderboard --> only what is between them')
    command.set_defaults(run=_leaderboard)


def _is_live(folder: Path) -> bool:
    name = read_any(folder)['schema'].get('name')
    return isinstance(name, str) and name == f'{NAME}.live'


def _verify(given: argparse.Namespace) -> int:
    if _is_live(given.folder):
        return live_commands.verify(given.folder)
    from allegro_bench.results.schema import newer, problems
    from allegro_bench.results.verify import verify

    found, document = verify(given.folder), load(given.folder)
    if given.json:
        print(json.dumps([{'code': p.code, 'where': p.where, 'words': p.words} for p in found], indent=1))
        return 1 if found else 0
    for problem in found:
        print(problem)
    if found:
        counts = ', '.join(f'{n} {code}' for code, n in sorted(Counter(p.code for p in found).items()))
        verdict = 'what it holds is consistent' if {p.code for p in found} == {'unfinished'} else \
            'the result is not what its ticks say'
        print(f'{given.folder}: {len(found)} problems ({counts}); {verdict}')
        return 1
    try:
        problems(document)
        schema = 'fits its schema' + (' as far as this version knows it' if newer(document) else '')
    except MissingDependency as error:
        schema = f'was not checked against its schema ({error})'
    ticks = sum(b['n_expected'] for b in document['blocks'])
    reasons = Counter(r['code'] for r in document['validity']['reasons'])
    print(f'{given.folder}: {NAME} v{document["schema"]["version"]} {schema}; all numbers follow from the {ticks} '
          f'ticks of its {len(document["blocks"])} blocks; {document["validity"]["status"].upper()}'
          + (f' ({", ".join(reasons)})' if reasons else ''))
    return 0


def _report(given: argparse.Namespace) -> int:
    if _is_live(given.folder):
        return live_commands.report(given.folder)
    from allegro_bench.results import page

    print(f'wrote {page.write(given.folder)}')
    return 0


def _compare(given: argparse.Namespace) -> int:
    from allegro_bench.results.compare import compare, markdown

    if given.paired and given.b is None:
        raise ConfigError('--paired is for two results; the backends of one are always compared in pairs')
    found = compare(given.a, given.b or given.a, force=given.force, paired=given.paired, energy=not given.no_energy,
                    names=given.backends)
    print(json.dumps(found, indent=1, ensure_ascii=False) if given.json else markdown(found), end='')
    return 0


def _leaderboard(given: argparse.Namespace) -> int:
    from allegro_bench.results import leaderboard

    board = leaderboard.collect(given.results)
    for name, why in board.refused:
        print(f'left out {name}: {why}')
    table = leaderboard.markdown(board)
    if given.markdown is None:
        print(table, end='')
    else:
        leaderboard.insert(given.markdown, table)
        print(f'wrote {given.markdown}')
    if given.html is not None:
        given.html.write_text(leaderboard.page(board), encoding='utf-8')
        print(f'wrote {given.html}')
    return 0
