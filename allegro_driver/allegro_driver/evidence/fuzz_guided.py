"""Coverage-guided fuzzing of the targets with Atheris, which is no dependency of the suite.

``pip install atheris`` (CPython 3.11 to 3.13) provides it. Atheris ends the process that it fuzzes in, so each target
gets one.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from allegro_description.errors import MissingDependency

from allegro_driver.evidence.fuzz_inputs import from_hand, from_host, happening
from allegro_driver.evidence.fuzz_loop import Item
from allegro_driver.evidence.fuzz_targets import join

_SEEDS, _UNITS, _LONGEST = 40, 60, 8192
_PROGRAM = """
import sys
import atheris
with atheris.instrument_imports(include=['allegro_driver', 'allegro_description']):
    from allegro_driver.evidence.fuzz_targets import TARGETS
    codec, target = sys.argv[1:3]
    TARGETS[target](codec, b'')  # what is imported late counts too
atheris.Setup([sys.argv[0], *sys.argv[3:]], lambda data: TARGETS[target](codec, data))
atheris.Fuzz()
"""


@dataclass(frozen=True, slots=True)
class Guided:
    """One run.

    Attributes:
        inputs: how many were tried.
        coverage: edges reached, at the end and by the recordings alone.
        corpus: inputs that reached something new.
        crash: the end of what was printed when it broke off, with the input in hexadecimal; '' when it did not.
    """

    codec: str
    target: str
    seconds: float
    inputs: int
    coverage: tuple[int, int]
    corpus: int
    crash: str


def require_atheris() -> None:
    """Check that it is there.

    Raises:
        MissingDependency: it is not.
    """
    if find_spec('atheris') is None:
        raise MissingDependency('guided fuzzing needs the package atheris: pip install atheris (CPython 3.11 to 3.13)')


def seeds(codec: str, target: str, dice: random.Random) -> list[bytes]:
    """Recordings to begin with."""
    result = []
    for _ in range(_SEEDS):
        items: list[Item] = []
        for unit in (from_host if target == 'hand' else from_hand)(codec, _UNITS // 6, dice)[:_UNITS]:
            items.append(unit)
            if target == 'loop' and dice.random() < 0.2:
                items += happening(dice)
        data = join(items)
        result.append(dice.randbytes(1) + data if target == 'loop' else data)
    return result


def guided(codec: str, target: str, seconds: float, seed: int, keep: Path) -> Guided:
    """Fuzz one target for a while; ``keep`` is the folder that inputs which break a promise are written to."""
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds(codec, target, random.Random(seed))):
            (Path(corpus) / f'recording_{number}').write_bytes(data)
        prefix = keep / f'{codec}_{target}_'
        done = subprocess.run(
            [sys.executable, '-c', _PROGRAM, codec, target, f'-max_total_time={max(round(seconds), 1)}',
             f'-seed={seed % 2**31 + 1}', f'-max_len={_LONGEST}', '-timeout=30', '-print_final_stats=1',
             f'-artifact_prefix={prefix}', corpus],
            capture_output=True, text=True, errors='replace', check=False)
    return _read(codec, target, seconds, done.returncode, done.stdout + done.stderr, prefix)


def _read(codec: str, target: str, seconds: float, code: int, text: str, prefix: Path) -> Guided:
    covered = [int(number) for number in re.findall(r'cov: (\d+)', text)] or [0]
    first = re.search(r'INITED cov: (\d+)', text)
    corpus = re.findall(r'corp: (\d+)', text)
    inputs = re.search(r'number_of_executed_units: *(\d+)', text)
    crash = ''
    if code:
        found = sorted(prefix.parent.glob(f'{prefix.name}crash-*'), key=lambda path: path.stat().st_mtime)
        crash = text[-2000:] + (f'\ninput: {found[-1].read_bytes().hex()}' if found else '')
    return Guided(codec, target, seconds, int(inputs[1]) if inputs else 0,
                  (covered[-1], int(first[1]) if first else 0), int(corpus[-1]) if corpus else 0, crash)
