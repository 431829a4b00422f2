"""Runs in another environment, beside the meter ``zeus``: answers the energy counters of all GPUs, one JSON per line.

Nothing of this package is imported here, and this file is never imported: it is given to another interpreter.
"""

import importlib
import json
import sys
from typing import Any


def say(message: dict[str, Any]) -> None:
    """Send one answer."""
    sys.stdout.write(json.dumps(message) + '\n')
    sys.stdout.flush()


def main() -> int:
    """Name the devices, then answer every line until there are no more."""
    try:
        gpus = importlib.import_module('zeus.device').get_gpus()
        names = [f'gpu{i}' for i in range(len(gpus))]
    except Exception as error:  # whatever another library raises: it becomes one sentence over there
        say({'error': f'{type(error).__name__}: {error}'})
        return 1
    say({'devices': names})
    for _ in sys.stdin:
        try:
            say({'mj': {f'gpu{i}': gpus.get_total_energy_consumption(i) for i in range(len(gpus))}})
        except Exception as error:
            say({'error': f'{type(error).__name__}: {error}'})
    return 0


if __name__ == '__main__':
    sys.exit(main())
