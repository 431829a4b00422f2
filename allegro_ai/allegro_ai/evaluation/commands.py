"""``allegro-ai evaluate``, ``gallery`` and ``tune-baseline``."""

from __future__ import annotations

from typing import Any

from allegro_ai.evaluation import tuning_commands


def add_commands(commands: Any) -> None:
    """Register the sub-commands on an ``add_subparsers`` object; each sets ``run`` to a function of the arguments."""
    tuning_commands.add_command(commands)
