"""``allegro-bench``: measure inference, check and compare results, see the energy meters and the machine."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError

EPILOG = """examples:
  allegro-bench report runs/2026-01-31_10-00-00     write report.html from result.json and the .npz files again
  allegro-bench verify runs/2026-01-31_10-00-00     compute every number again from the raw ticks and compare
  allegro-bench export-lerobot BAG --output DIR     episodes of a bag as a LeRobot dataset
  allegro-bench meters                              which energy meters work on this machine, and why others do not
  allegro-bench env                                 the machine as it is written into results, with reservations

A run folder is what the node inference_profiler writes (parameter output_dir):
result.json, ticks.npz (every tick), series.npz (traces), report.html.
exit codes: 0 done, 1 verify found differences, 2 it could not be done (one sentence says why)"""

COMMANDS = (
    'allegro_bench.running.commands',
    'allegro_bench.quality.commands',
    'allegro_bench.results.commands',
    'allegro_bench.bags.commands',
    'allegro_bench.dataset_commands',
    'allegro_bench.replay.commands',
    'allegro_bench.meters.commands',
    'allegro_bench.meters.log_commands',
    'allegro_bench.system_commands',
)
"""Modules whose ``add_commands(subparsers)`` registers commands, in the order of the help.

Each sets the default ``run``, a function of the parsed arguments that returns the exit code. They import quickly:
anything heavy is imported inside ``run``."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog='allegro-bench', description='Latency, energy and quality of policy inference: look at runs and machines.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for module in COMMANDS:
        importlib.import_module(module).add_commands(commands)
    return top


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = parser().parse_args(args)
    try:
        return int(given.run(given))
    except AllegroError as error:
        print(f'allegro-bench {given.command}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more when it flushes at exit.
        sys.stderr.close()
        return 0


if __name__ == '__main__':
    sys.exit(main())
