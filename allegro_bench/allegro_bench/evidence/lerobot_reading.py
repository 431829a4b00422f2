"""Does LeRobot's own loader read our datasets? ``python -m allegro_bench.evidence.lerobot_reading DATASET …``.

Every frame that ``LeRobotDataset`` gives is compared with the files as they were written, number by number, then a
window over several frames and a shuffled batch are taken, as training does. Needs ``lerobot``, which pins its own
torch: put it into an environment of its own, with ``PYTHONPATH=allegro_bench:allegro_description``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import AllegroError, ConfigError, MissingDependency

from allegro_bench.lerobot_files import LAYOUTS

BATCH = 32


def loader() -> Any:
    """LeRobot's class.

    Raises:
        MissingDependency: it is absent.
    """
    try:
        return import_module('lerobot.datasets.lerobot_dataset').LeRobotDataset
    except ImportError as error:
        raise MissingDependency(f'the loader of LeRobot is what is tried here ({error}). Install it with: '
                                'pip install lerobot==0.3.3 (reads v2.1) or lerobot[dataset]==0.6.1 (reads v3.0)'
                                ) from error


def read(folder: Path, dataset_class: Any) -> dict[str, Any]:
    """Load a dataset and compare it.

    Args:
        folder: of the dataset.
        dataset_class: of LeRobot.

    Returns:
        Episodes, frames and numbers compared, shapes of a window and of a batch.

    Raises:
        ConfigError: a frame is not what was written.
    """
    info = json.loads((folder / 'meta' / 'info.json').read_text())
    dataset = dataset_class(f'local/{folder.name}', root=folder)
    numbers = 0
    for episode, table in LAYOUTS[info['codebase_version']].tables(folder, info):
        for row in table.to_pylist():
            frame = dataset[row['index']]
            if frame['task'] not in episode['tasks']:
                raise ConfigError(f'{folder}: frame {row["index"]} has the task {frame["task"]!r}')
            for name, value in row.items():
                wanted, got = np.array(value, dtype=np.float64), np.array(frame[name], dtype=np.float64)
                if not np.array_equal(wanted, got):
                    raise ConfigError(f'{folder}: {name} of frame {row["index"]} is {got}, written was {wanted}')
                numbers += wanted.size
    step = 1.0 / info['fps']
    windows = dataset_class(f'local/{folder.name}', root=folder, delta_timestamps={
        'observation.state': [-step, 0.0], 'action': [0.0, step, 2 * step]})
    batch = next(iter(import_module('torch').utils.data.DataLoader(windows, batch_size=BATCH, shuffle=True)))
    return {'format': info['codebase_version'], 'episodes': dataset.num_episodes, 'frames': dataset.num_frames,
            'numbers': numbers, 'window': list(windows[1]['action'].shape), 'batch': list(batch['action'].shape)}


def main(args: Sequence[str] | None = None) -> int:
    """Print one line per dataset; exit code 2 and a sentence where one is not read as it was written."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.lerobot_reading', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', type=Path, nargs='+', help='folders that export-lerobot wrote')
    given = parser.parse_args(args)
    try:
        dataset_class = loader()
        for folder in given.dataset:
            found = read(folder, dataset_class)
            print(f'{folder}: LeRobot {version("lerobot")} reads format {found["format"]}: {found["episodes"]} '
                  f'episodes, {found["frames"]} frames, {found["numbers"]} numbers as written; action of a window '
                  f'{found["window"]}, of a batch {found["batch"]}')
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
