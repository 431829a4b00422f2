"""Small files of the kernel: one number or one word each, that may vanish or be denied at any time."""

from __future__ import annotations

from pathlib import Path

RULE = 'rules/70-allegro-energy.rules'
GRANT = (f'install the shipped udev rule (share/allegro_bench/{RULE}: group read for the group power) and join that '
         'group; not for everybody, because energy reveals what other users compute. allegro-bench meters --rule '
         'prints it')


def number(path: Path) -> int:
    """The integer in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    text = path.read_text(errors='replace').strip()
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'{path.name} holds {text[:40]!r}, which is no number') from None


def word(path: Path) -> str | None:
    """The text in a file, or None where there is none."""
    try:
        return path.read_text(errors='replace').strip().strip('\0') or None
    except OSError:
        return None
