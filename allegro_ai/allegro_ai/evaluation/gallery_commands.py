"""``allegro-ai gallery``: what failures look like."""

from __future__ import annotations

from typing import Any


def add_command(commands: Any) -> None:
    """Register the sub-command."""
