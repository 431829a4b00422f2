"""Start of a pack: checks every file, then measures. Needs Python 3.10, numpy and an engine; nothing is installed.

This file is ``run.py`` of a pack. It is the only one that runs before the check, and it imports nothing of the pack.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

MANIFEST, CODE, STAND_INS = 'MANIFEST.json', 'lib', 'stand_ins'
OLDEST = (3, 10)
FORMAT = 'allegro_bench.pack'


def damage(root: Path) -> str:
    """What is wrong with the files of a pack; '' if each is as it was packed and no other lies among the code."""
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding='utf-8'))
        files = manifest['files']
        if manifest['format'] != FORMAT:
            return f'{MANIFEST} is of {manifest["format"]!r}, not of {FORMAT!r}'
        for name, known in files.items():
            if hashlib.sha256((root / name).read_bytes()).hexdigest() != known:
                return f'{name} is not the file that was packed'
    except OSError as error:
        return f'{error.filename} cannot be read: {error.strerror}'
    except (ValueError, KeyError, TypeError, AttributeError):
        return f'{MANIFEST} is damaged'
    for folder in manifest['closed']:
        for path in sorted((root / folder).rglob('*')):
            name = path.relative_to(root).as_posix()
            if not path.is_dir() and name not in files:
                return f'{name} was not packed'
    return ''


def search_path(root: Path) -> list[str]:
    """Folders of the pack that Python has to search: the suite, and stand-ins for packages that are absent here."""
    folders = sorted(p for p in (root / CODE).iterdir() if p.is_dir())
    lacking = [p for p in sorted((root / STAND_INS).iterdir()) if importlib.util.find_spec(p.name) is None]
    return [str(p) for p in (*folders, *lacking)]


def main() -> int:
    """Check, then hand over to the measuring code; returns the exit code."""
    if sys.version_info < OLDEST:
        print(f'run.py: this is Python {sys.version.split()[0]}; 3.10 or newer is needed', file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent
    found = damage(root)
    if found:
        print(f'run.py: {found}; unpack the pack again', file=sys.stderr)
        return 2
    # Compiled files would be new ones among the code, which the next start would refuse.
    sys.dont_write_bytecode = True
    folders = search_path(root)
    sys.path[:0] = folders
    before = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = os.pathsep.join([*folders, *([before] if before else [])])
    os.environ['PYTHONDONTWRITEBYTECODE'] = '1'
    try:
        importlib.import_module('numpy')
        machine = importlib.import_module('allegro_bench.exporting.machine')
    except ImportError as error:
        print(f'run.py: {error}; a pack needs numpy: python3 -m pip install numpy', file=sys.stderr)
        return 2
    return int(machine.main(root))


if __name__ == '__main__':
    sys.exit(main())
