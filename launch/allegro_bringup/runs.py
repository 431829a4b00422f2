"""Where a run leaves its files: ``runs/<time>/`` with report, result, bag and logs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, TypeVar

A = TypeVar('A')


def new_run_folder(parent: Path) -> Path:
    """Return a folder named after this moment that does not exist yet (it is not created)."""
    name = time.strftime('%Y-%m-%d_%H-%M-%S')
    candidates = (parent / (name if n == 1 else f'{name}_{n}') for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def with_output_dir(args: A) -> A:
    """Return the arguments with an empty ``output_dir`` filled in; arguments without one are returned as they are."""
    given: Any = args
    if not hasattr(given, 'output_dir'):
        return args
    folder = Path(given.output_dir).expanduser() if given.output_dir else new_run_folder(Path('runs'))
    return dataclasses.replace(given, output_dir=str(folder.resolve()))
