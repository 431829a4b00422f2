"""Set up one virtual environment of the suite: ``python3 .environment/install.py .venv ros-kilted.txt runtime.txt``.

Standard library only, run by the Makefile. It does nothing when everything asked for is in place, starts over where an
earlier run was cut off in the middle, and keeps pip's own words in ``<venv>/install.log`` unless something fails.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = ('allegro_description', 'allegro_driver', 'allegro_ai', 'allegro_bench', 'launch', 'test')
PIP = ('-m', 'pip', '--disable-pip-version-check', '--no-input', 'install', '--progress-bar', 'off')
EDITABLE = ('--no-deps', '--no-build-isolation', '--config-settings', 'editable_mode=compat')


class Failed(Exception):
    """A step that did not work; the message is shown as it is."""


def digest(paths: Sequence[Path]) -> str:
    """Return one hash over the contents of files and the interpreter and place they were installed for."""
    text = hashlib.sha256(f'{sys.version}{ROOT}'.encode())
    for path in paths:
        text.update(path.name.encode() + b'\0' + path.read_bytes())
    return text.hexdigest()


def wanted(requirements: Sequence[str], *, editable: bool) -> dict[str, str]:
    """Return what has to be in place: a hash for each requirements file, and one for our own packages."""
    marks = {name: digest([HERE / name]) for name in requirements}
    if editable:
        marks['packages'] = digest([ROOT / p / f for p in PACKAGES for f in ('setup.py', 'setup.cfg', 'package.xml')])
    return marks


def run(title: str, command: Sequence[str], log: Path) -> None:
    """Run one command silently, showing the title, the time it takes and the package it is at.

    Raises:
        Failed: it returned an error; the message holds the end of its output.
    """
    # Two environments that are set up side by side cannot share one line of a terminal.
    start, live = time.monotonic(), sys.stdout.isatty() and not os.environ.get('SIDE_BY_SIDE')
    environment = {k: v for k, v in os.environ.items() if k not in {'PYTHONPATH', 'PIP_TARGET', 'PIP_USER'}}
    # The ROS wheels make every Python of the environment start itself again unless this is set.
    environment['_ROS_WHEELS_BOOTSTRAP_COMPLETE'] = '1'
    if not live:
        print(f'{title} …', flush=True)
    with log.open('a+') as out:
        begin = out.seek(0, os.SEEK_END)
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=ROOT)
        try:
            while process.poll() is None:
                if live:
                    out.seek(begin)
                    at = [line.split()[1] for line in out if line.startswith(('Collecting ', 'Installing '))][-1:]
                    print(f'\r\x1b[K{title} … {time.monotonic() - start:.0f} s {" ".join(at)[:40]}', end='', flush=True)
                time.sleep(0.25)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        seconds = time.monotonic() - start
        if process.returncode:
            out.seek(begin)
            tail = ''.join(out.readlines()[-15:])
            raise Failed(f'{title} failed after {seconds:.0f} s (whole log: {log}):\n{tail}')
    print(f'\r\x1b[K{title} … {seconds:.0f} s' if live else f'{title} … done in {seconds:.0f} s', flush=True)


def check_machine() -> None:
    """Refuse what cannot work, with the reason.

    Raises:
        Failed: wrong Python, or no ROS wheels for this processor.
    """
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        raise Failed(
            f'Python {platform.python_version()} is not supported: 3.11 to 3.14 are. Try: make PYTHON=python3.11')
    if platform.system() != 'Linux' or platform.machine() != 'x86_64':
        raise Failed(
            f'the ROS 2 wheels exist for Linux on x86_64 only, this is {platform.system()} on {platform.machine()}: '
            'use a ROS 2 installation and colcon here (see README.md)'
        )


def install(venv: Path, requirements: Sequence[str], *, editable: bool) -> None:
    """Bring the environment to the wanted state."""
    stamp, unfinished, log = venv / '.installed.json', venv / '.unfinished', venv / 'install.log'
    marks = wanted(requirements, editable=editable)
    have = json.loads(stamp.read_text()) if stamp.is_file() and not unfinished.exists() else {}
    todo = [name for name in marks if have.get(name) != marks[name]]
    if not todo:
        return
    check_machine()
    if unfinished.exists() or (venv.exists() and not stamp.exists()):
        print(f'{venv.name}: an earlier set-up was interrupted, starting over', flush=True)
        shutil.rmtree(venv)
    fresh = not venv.exists()
    venv.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    steps = fresh + bool(set(todo) - {'packages'}) + ('packages' in todo)
    python, step = str(venv / 'bin' / 'python'), 0
    if fresh:
        step += 1
        try:
            run(f'[{step}/{steps}] {venv.name}: virtual environment', [sys.executable, '-m', 'venv', str(venv)], log)
        except Failed as error:
            raise Failed(f'{error}\nOn Debian and Ubuntu: apt install python3-venv') from None
    files = [name for name in todo if name != 'packages']
    if files:
        step += 1
        # All files, the installed ones too: they hold back what the new ones would like to move.
        arguments = [word for name in requirements for word in ('-r', str(HERE / name))]
        names = ', '.join(Path(name).stem for name in files)
        run(f'[{step}/{steps}] {venv.name}: {names}', [python, *PIP, *arguments], log)
    if 'packages' in todo:
        step += 1
        arguments = [word for package in PACKAGES for word in ('-e', str(ROOT / package))]
        sources = os.open(HERE, os.O_RDONLY)  # metadata is written beside the sources: one at a time
        fcntl.flock(sources, fcntl.LOCK_EX)
        try:
            run(f'[{step}/{steps}] {venv.name}: the six packages', [python, *PIP, *EDITABLE, *arguments], log)
        finally:
            os.close(sources)
    stamp.write_text(json.dumps({**have, **marks}, indent=1) + '\n')
    unfinished.unlink()


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('venv', type=Path, help='folder of the environment')
    parser.add_argument('requirements', nargs='+', help='requirements files of this folder')
    parser.add_argument('--no-packages', action='store_true', help="leave out the suite's own packages")
    options = parser.parse_args()
    venv = options.venv.resolve()
    venv.parent.mkdir(parents=True, exist_ok=True)
    # One lock for each environment: two different ones may be set up at the same time.
    lock = os.open(venv.parent / f'{venv.name}.lock', os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f'{venv.name}: another set-up is running, waiting for it', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        install(venv, options.requirements, editable=not options.no_packages)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; run the same command again to go on', file=sys.stderr)
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == '__main__':
    sys.exit(main())
