"""The tables of the README that follow from declarations: ``python -m allegro_bringup.readme_tables README.md``.

Hands and their links, launch arguments, parameters of the nodes, and what no source settles about which hand. Each
stands between two comments of its name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from allegro_description.config import markdown_table
from allegro_description.errors import ConfigError
from allegro_description.model import available_hands, load_hand

from allegro_bringup import parameter_file
from allegro_bringup.arguments import DualArgs, ProfileArgs, ReplayArgs

BY = 'written by python -m allegro_bringup.readme_tables README.md'


def hands() -> str:
    """Every hand and link."""
    titles = ('hand', 'sides', 'joints', 'touch', 'link', 'codec', 'unit of torque', 'emulated', 'real hand')
    rows = [f'| {" | ".join(titles)} |', '|' + '---|' * len(titles)]
    models = [load_hand(*name.rsplit('_', 1)) for name in available_hands()]
    for name in dict.fromkeys(model.model for model in models):
        own = [model for model in models if model.model == name]
        first, sides = own[0], ', '.join(sorted((m.side for m in own), reverse=True))
        confirmed = ''.join(f' ({m.side}: after you have confirmed {_listed(m.confirm)})' for m in own if m.confirm)
        touch = f'{len(first.taxels)} cells' if first.taxels else 'none'
        for link, settings in first.protocol.items():
            rows.append(
                f'| `{name}` | {sides}{confirmed} | {len(first.joints)} | {touch} | {link} | {settings["codec"]} | '
                f'{first.actuation.unit} | tested | untested |')
    return '\n'.join(rows)


def _listed(names: Iterable[str]) -> str:
    return ' and '.join(f'`{name}`' for name in names)


def unverified() -> str:
    """What no source settles: point, hands, safe default and the test on hardware that would settle it."""
    points: dict[tuple[str, str], list[str]] = {}
    for name in available_hands():
        for point, words in load_hand(*name.rsplit('_', 1)).unverified.items():
            points.setdefault((point, words), []).append(name)
    rows = ['| point | hands | default here; test on hardware |', '|---|---|---|']
    for (point, words), names in sorted(points.items()):
        rows.append(f'| `{point}` | {", ".join(names)} | {words} |')
    return '\n'.join(rows)


def parameter_tables() -> str:
    """Launch arguments and the parameters of every node, as Markdown."""
    parts = [
        '## Launch arguments', '',
        'The same for `ros2 launch allegro_bringup {hand,grasp,profile}.launch.py NAME:=VALUE` and '
        '`allegro-demo --NAME VALUE`; `hand` and `grasp` take the subset that concerns them.', '',
        '<details><summary>all arguments</summary>', '', markdown_table(ProfileArgs), '', '</details>', '',
        '<details><summary><code>dual_hand.launch.py</code>: two hands</summary>', '', markdown_table(DualArgs), '',
        '</details>', '',
        '<details><summary><code>replay.launch.py</code>: a recording played to policy and profiler</summary>', '',
        markdown_table(ReplayArgs), '', '</details>', '',
        '## Node parameters', '',
        '`launch/config/parameters.yaml` holds all of them with their defaults: copy it, keep what you change, pass it '
        'as `params_file`.',
    ]
    for node in parameter_file.CONFIGURATIONS:
        table = markdown_table(parameter_file.configuration(node))
        parts += ['', f'<details><summary><code>{node}</code></summary>', '', table, '', '</details>']
    return '\n'.join(parts)


BLOCKS = {'hands': hands, 'parameters': parameter_tables, 'unverified': unverified}
"""Name of a block in the README to what stands in it."""


def replaced(readme: str) -> str:
    """The README with its blocks brought up to date.

    Raises:
        ConfigError: a block is missing.
    """
    for name, write in BLOCKS.items():
        begin, end = f'<!-- {name}: {BY} -->', f'<!-- /{name} -->'
        head, mark, rest = readme.partition(begin)
        _, other, tail = rest.partition(end)
        if not (mark and other):
            raise ConfigError(f'the README has no block between {begin!r} and {end!r}')
        readme = f'{head}{begin}\n\n{write()}\n\n{end}{tail}'
    return readme


def main() -> int:
    """Rewrite the block in the file that is named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text(encoding='utf-8')), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
