"""Command line ``allegro-ai``: train, evaluate, publish, check and list grasp policies. No ROS needed."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from allegro_description.errors import AllegroError, MissingDependency

EPILOG = """examples:
  allegro-ai list                                   policies, inference backends, hands
  allegro-ai bundle check tactile_hold_linear       everything the policy node checks before it may run
  allegro-ai bundle card tactile_hold_linear        what the policy is, and what was measured
  allegro-ai bundle diff OLD NEW                    how two bundles differ, in words
  allegro-ai bundle sign FOLDER --key FILE          sign it; check --require-signature refuses all others
  allegro-ai bundle pack tactile_hold_linear        one file instead of a folder; unpack does the reverse
  allegro-ai import hora model.ckpt --output DIR    a bundle of an in-hand rotation policy trained elsewhere
  allegro-ai backends tactile_hold_linear           how far each inference backend is from its golden vectors
  allegro-ai ladder --output DIR L1b L3b            benchmark networks (random weights) as bundles
  allegro-ai train tactile_hold --seed 1            train the network in simulation; train linear: the small policy
  allegro-ai evaluate baselines runs/training/*     closed loop on unseen objects, with intervals; resumes
  allegro-ai gallery tactile_hold_linear            pictures of failed episodes, by kind

Errors are one sentence, exit code 2."""

LIGHT = {'allegro_ai.bundle_commands': ('list', 'bundle'), 'allegro_ai.importing.commands': ('import',),
         'allegro_ai.backend_commands': ('backends', 'ladder')}
"""Modules whose ``add_commands(subparsers)`` registers these commands; they import quickly."""

SIMULATED = {'allegro_ai.training.commands': ('train', 'publish', 'evaluate-slip', 'publish-slip'),
             'allegro_ai.evaluation.commands': ('evaluate', 'gallery', 'tune-baseline', 'choose-masses')}
"""The same for commands that need the simulator; imported only when one of them, or the help, is asked for."""


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The command line, with the commands that ``arguments`` may need.

    Raises:
        MissingDependency: a command was asked for whose packages are absent.
    """
    top = argparse.ArgumentParser(
        prog='allegro-ai', description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for module in LIGHT:
        importlib.import_module(module).add_commands(commands)
    wanted = next((a for a in arguments if not a.startswith('-')), '')
    if wanted in [name for names in LIGHT.values() for name in names]:
        return top
    for module, names in SIMULATED.items():
        try:
            importlib.import_module(module).add_commands(commands)
        except ImportError as error:
            if wanted in names:
                raise MissingDependency(f'allegro-ai {wanted} needs packages that are absent ({error}). Install them '
                                        "with: pip install 'allegro_ai[mujoco,onnx]'") from error
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``allegro-ai``; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = parser(given).parse_args(given)
        return int(args.run(args))
    except AllegroError as error:
        print(f'allegro-ai: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # e.g. piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == '__main__':
    raise SystemExit(main())
