"""Do MCAP's own command line and this suite read each other? ``python -m allegro_bench.evidence.mcap_tool [FILE …]``.

The tool (``mcap`` of foxglove/mcap, found on the PATH or named with ``--tool``) looks at each file with ``info`` and
``doctor``, then writes it anew in every way it knows; each copy is read here, and must hold the same messages, byte
for byte, by topic and time. Last, the end of the file is cut off as a kill does: ``doctor`` must object, and what
``recover`` makes of it must hold what is read here from the torn file itself.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from allegro_description.errors import AllegroError, ConfigError, MissingDependency
from allegro_description.share import share_dir

from allegro_bench.bags.mcap_file import McapFile

Content = dict[tuple[str, str], list[tuple[int, bytes]]]
"""Messages by topic and type, in order of time: log time in ns, and bytes."""

COPIES: dict[str, tuple[str, ...]] = {
    'compress, zstd': ('compress', '--compression', 'zstd', '--chunk-size', '20000', '-o'),
    'compress, lz4': ('compress', '--compression', 'lz4', '-o'),
    'compress, no chunks': ('compress', '--unchunked', '-o'),
    'decompress': ('decompress', '-o'),
    'sort': ('sort', '-o'),
    'filter': ('filter', '--include-metadata', '-y', '.*', '-o'),
}
TORN = 2 / 3
"""What is left of a file that is cut off."""
PATIENCE_S = 120.0


def find_tool(name: str) -> str:
    """Path of the tool.

    Raises:
        MissingDependency: it is not there.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingDependency(f'there is no {name!r} on the PATH. It is a program of its own: see '
                                'https://mcap.dev/guides/cli; --tool names it where it lies elsewhere')
    return found


def content(path: Path) -> Content:
    """Everything that is read here from a file, whole or torn."""
    file, rows = McapFile(path), Content()
    for block in file.blocks():
        for key, logged, _, data in block:
            topic = file.found.topics[key]
            rows.setdefault((topic.name, topic.type), []).append((logged, bytes(data)))
    return {key: sorted(found) for key, found in rows.items()}


def same(path: Path, other: Path) -> int:
    """Messages in both files.

    Raises:
        ConfigError: they do not hold the same.
    """
    ours, theirs = content(path), content(other)
    apart = sorted(key[0] for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    if apart:
        raise ConfigError(f'{other} does not hold what {path} holds: {", ".join(apart[:5])}')
    return sum(map(len, ours.values()))


def check(tool: str, path: Path) -> list[str]:
    """Rows of a table about one file.

    Raises:
        ConfigError: the tool objects to a sound file, has nothing to say about a torn one, or contents differ.
    """
    rows = []
    looks: tuple[tuple[str, ...], ...] = (('info',), ('doctor',), ('doctor', '--strict-message-order'))
    for words in looks:
        code, said = call(tool, *words, str(path))
        if code or (words[0] == 'doctor' and said):
            raise ConfigError(f'mcap {" ".join(words)} {path}: {said or f"exit code {code}"}')
        rows.append(f'| {path.name} | {" ".join(words)} | no objection |')
    with tempfile.TemporaryDirectory() as folder:
        for title, words in COPIES.items():
            copy = Path(folder) / 'copy.mcap'
            copy.unlink(missing_ok=True)
            code, said = call(tool, words[0], str(path), *words[1:], str(copy))
            if code:
                raise ConfigError(f'mcap {title} {path}: {said or f"exit code {code}"}')
            rows.append(f'| {path.name} | {title} | {same(path, copy)} messages, the same |')
        torn, whole = Path(folder) / 'torn.mcap', Path(folder) / 'recovered.mcap'
        torn.write_bytes(path.read_bytes()[:int(path.stat().st_size * TORN)])
        code, said = call(tool, 'doctor', str(torn))
        if not code and not said:
            raise ConfigError(f'mcap doctor has nothing to say about {path} without its end; what it says means little')
        call(tool, 'recover', str(torn), '-o', str(whole))
        rows.append(f'| {path.name} | recover, after the last third is cut off | {same(torn, whole)} messages, the '
                    'same |')
    return rows


def call(tool: str, *words: str) -> tuple[int, str]:
    """Run the tool; exit code and, of errors and complaints, the first line.

    Raises:
        ConfigError: it does not end.
    """
    try:
        done = subprocess.run([tool, *words], capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f'mcap {" ".join(words)} does not end within {PATIENCE_S:g} s') from error
    said = done.stderr if words[0] != 'doctor' else done.stderr + done.stdout
    return done.returncode, (said.strip().splitlines() or [''])[0]


def version(tool: str) -> str:
    """What the tool calls itself."""
    done = subprocess.run([tool, 'version'], capture_output=True, text=True, timeout=PATIENCE_S)
    return (done.stdout + done.stderr).strip() or 'of unknown version'


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 when both agree on every file."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.mcap_tool', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('files', nargs='*', type=Path, help='MCAP files (default: the recordings of the dataset)')
    parser.add_argument('--tool', default='mcap', help='the program (default: %(default)s)')
    args = parser.parse_args(arguments)
    try:
        tool = find_tool(args.tool)
        files = args.files or sorted((share_dir('allegro_bench') / 'datasets').rglob('*.mcap'))
        print(f'mcap {version(tool)}\n\n| file | mcap | here |\n|---|---|---|')
        for path in files:
            print('\n'.join(check(tool, path)), flush=True)
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
