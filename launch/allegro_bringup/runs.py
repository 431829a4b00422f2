"""Where a run leaves its files: ``runs/<time>/`` with report, result, bag and logs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from allegro_bringup.arguments import Args, ProfileArgs, ReplayArgs


def new_run_folder(parent: Path) -> Path:
    """Return a folder named after this moment that does not exist yet (it is not created)."""
    name = time.strftime('%Y-%m-%d_%H-%M-%S')
    candidates = (parent / (name if n == 1 else f'{name}_{n}') for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def with_output_dir(args: Args) -> Args:
    """Return the arguments with an empty ``output_dir`` filled in; arguments without one are returned as they are."""
    if not isinstance(args, (ProfileArgs, ReplayArgs)):
        return args
    folder = Path(args.output_dir).expanduser() if args.output_dir else new_run_folder(Path('runs'))
    return dataclasses.replace(args, output_dir=str(folder.resolve()))
