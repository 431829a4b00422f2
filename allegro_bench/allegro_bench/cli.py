"""``allegro-bench``: measure inference, check and compare results, see the energy meters and the machine."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError

EPILOG = """examples:
  allegro-bench run --plan                        what a run would measure here, and how long it takes
  allegro-bench run L1b --profile quick           every inference backend at the control rate; run --help has more
  allegro-bench export L1b --output l1b.tar.gz    a pack that measures on a machine with only Python and numpy
  allegro-bench quality RESULT                    does the grasp still succeed with each backend, at its own speed?
  allegro-bench verify RESULT                     compute every number again from the raw ticks and compare
  allegro-bench compare RESULT [RESULT]           the backends of one result, or two results
  allegro-bench report RESULT                     write report.html again
  allegro-bench meters                            which energy meters work on this machine, and why others do not
  allegro-bench env                               the machine as it is written into results, with reservations
  allegro-bench replay BAG --help                 a recording through policy bundles
  allegro-bench view BAG                          a recording in the browser: hand, touch, time line, events
  allegro-bench export-lerobot BAG --output DIR   episodes of a bag as a LeRobot dataset

RESULT is a folder that allegro-bench run wrote (result.json, every tick in ticks/, report.html), or that the node
inference_profiler wrote on a live robot (result.json, ticks.npz, series.npz, report.html).
Each command has its own --help.
exit codes: 0 done, 1 verify found differences, 2 it could not be done (one sentence says why)"""

COMMANDS = (
    'allegro_bench.running.commands',
    'allegro_bench.exporting.commands',
    'allegro_bench.quality.commands',
    'allegro_bench.results.commands',
    'allegro_bench.bags.commands',
    'allegro_bench.dataset_commands',
    'allegro_bench.replay.commands',
    'allegro_bench.viewing.commands',
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
