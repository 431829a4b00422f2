"""The parameter tables of the README, from the declarations: ``python -m allegro_bringup.readme_tables README.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from allegro_description.config import markdown_table

from allegro_bringup import parameter_file
from allegro_bringup.arguments import ProfileArgs

BEGIN, END = '<!-- parameters: written by python -m allegro_bringup.readme_tables README.md -->', '<!-- /parameters -->'


def text() -> str:
    """Launch arguments and the parameters of every node, as Markdown."""
    parts = [
        '## Launch arguments', '',
        'The same for `ros2 launch allegro_bringup {hand,grasp,profile}.launch.py NAME:=VALUE` and '
        '`allegro-demo --NAME VALUE`; `hand` and `grasp` take the subset that concerns them.', '',
        '<details><summary>all arguments</summary>', '', markdown_table(ProfileArgs), '', '</details>', '',
        '## Node parameters', '',
        '`launch/config/parameters.yaml` holds all of them with their defaults: copy it, keep what you change, pass it '
        'as `params_file`.',
    ]
    for node in parameter_file.CONFIGURATIONS:
        table = markdown_table(parameter_file.configuration(node))
        parts += ['', f'<details><summary><code>{node}</code></summary>', '', table, '', '</details>']
    return '\n'.join(parts)


def replaced(readme: str) -> str:
    """The README with its block brought up to date."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f'{head}{BEGIN}\n\n{text()}\n\n{END}{tail}'


def main() -> int:
    """Rewrite the block in the file that is named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text(encoding='utf-8')), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
