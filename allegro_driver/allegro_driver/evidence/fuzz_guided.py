"""Coverage-guided fuzzing of the targets with Atheris, which is no dependency of the suite.

It needs CPython 3.11 to 3.13 and best gets an environment of its own, to throw away; :data:`HOW` is how. Atheris ends
the process that it fuzzes in, so each target gets one, and another one after each input that broke something.
"""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from allegro_description.errors import MissingDependency

from allegro_driver.evidence.fuzz_inputs import from_hand, from_host, happening
from allegro_driver.evidence.fuzz_loop import Item
from allegro_driver.evidence.fuzz_targets import join

HOW = """\
python3 -m venv /tmp/guided
/tmp/guided/bin/pip install atheris -r .environment/runtime.txt
PYTHONPATH=allegro_description:allegro_driver /tmp/guided/bin/python -m allegro_driver.evidence.fuzz --guided 60"""
_SEEDS, _UNITS, _LONGEST = 40, 60, 8192
_MOST_CRASHES = 5   # more of one target tell nothing new
_PROGRAM = """
import mmap, sys
import atheris
with atheris.instrument_imports(include=['allegro_driver', 'allegro_description']):
    from allegro_driver.evidence.fuzz_targets import TARGETS
    codec, target, count = sys.argv[1:4]
    TARGETS[target](codec, b'')  # what is imported late counts too
with open(count, 'r+b') as file:
    counts = memoryview(mmap.mmap(file.fileno(), 16)).cast('q')
def one(data):
    counts[0] += 1
    counts[1] += TARGETS[target](codec, data)
atheris.Setup([sys.argv[0], *sys.argv[4:]], one)
atheris.Fuzz()
"""


@dataclass(slots=True)
class Guided:
    """One codec and target.

    Attributes:
        seconds: how long it took, starts included.
        inputs: how many were tried.
        units: frames, datagrams and actions in them.
        coverage: edges of the code reached, by the recordings alone and at the end.
        corpus: inputs that reached something new.
        crashes: for each time that it broke off the end of what was printed, with the input in hexadecimal.
    """

    codec: str
    target: str
    seconds: float = 0.0
    inputs: int = 0
    units: int = 0
    coverage: tuple[int, int] = (0, 0)
    corpus: int = 0
    crashes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The row."""
        return (f'| {self.codec} | {self.target} | {self.seconds:.0f} | {self.inputs} | {self.units} | '
                f'{self.coverage[0]} → {self.coverage[1]} | {self.corpus} | {len(self.crashes)} | '
                f'{"BROKEN" if self.crashes else "holds"} |')


HEAD = (
    '| codec | target | s | inputs | units | edges: recordings → end | corpus | crashes | verdict |',
    '|---|---|---|---|---|---|---|---|---|',
)


def require_atheris() -> None:
    """Check that it is there.

    Raises:
        MissingDependency: it is not.
    """
    if find_spec('atheris') is None:
        raise MissingDependency(
            f'guided fuzzing needs the package atheris (CPython 3.11 to 3.13); in an environment to throw away:\n{HOW}')


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
    run, begin = Guided(codec, target), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus, counts, prefix = Path(folder) / 'corpus', Path(folder) / 'counts', keep / f'{codec}_{target}_'
        corpus.mkdir()
        counts.write_bytes(bytes(16))
        for number, data in enumerate(seeds(codec, target, random.Random(seed))):
            (corpus / f'recording_{number}').write_bytes(data)
        while (left := seconds - (time.monotonic() - begin)) >= 1.0 or not run.inputs:
            before = set(keep.iterdir())
            done = subprocess.run(
                [sys.executable, '-c', _PROGRAM, codec, target, str(counts), f'-max_total_time={max(round(left), 1)}',
                 f'-seed={(seed + len(run.crashes)) % 2**31 + 1}', f'-max_len={_LONGEST}', '-timeout=30',
                 '-print_final_stats=1', f'-artifact_prefix={prefix}', str(corpus)],
                capture_output=True, text=True, errors='replace', check=False)
            text = done.stdout + done.stderr
            note(run, text)
            run.inputs, run.units = struct.unpack('qq', counts.read_bytes())
            if done.returncode == 0:
                break
            found = sorted(set(keep.iterdir()) - before)
            run.crashes.append(text[-2000:] + ''.join(f'\ninput: {path.read_bytes().hex()}' for path in found))
            if len(run.crashes) >= _MOST_CRASHES:
                break
    run.seconds = time.monotonic() - begin
    return run


def note(run: Guided, text: str) -> None:
    """Add to a run what the fuzzer printed about coverage."""
    covered = [int(number) for number in re.findall(r'cov: (\d+)', text)]
    first = re.search(r'INITED cov: (\d+)', text)
    corpus = re.findall(r'corp: (\d+)', text)
    run.coverage = run.coverage[0] or (int(first[1]) if first else 0), max([run.coverage[1], *covered])
    run.corpus = int(corpus[-1]) if corpus else run.corpus
