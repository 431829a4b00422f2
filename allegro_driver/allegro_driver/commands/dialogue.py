"""Questions to the person beside a hand, with live readings meanwhile; or answers from a file, for tests and jigs."""

from __future__ import annotations

import select
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from allegro_description.errors import CommandRefused, ConfigError

_REFRESH_S = 0.2


class Dialogue(Protocol):
    """Whoever answers."""

    def ask(self, question: str, live: Callable[[], str]) -> str:
        """Ask and return one line without its end.

        Args:
            question: the prompt.
            live: what to show while waiting; it is called again and again.

        Raises:
            CommandRefused: nobody answers any more.
        """
        ...


class Terminal:
    """A person at a terminal."""

    def ask(self, question: str, live: Callable[[], str]) -> str:
        """Show the question, refresh the readings above the cursor's line until Enter."""
        print(f'{question}\n', flush=True)
        while not select.select([sys.stdin], [], [], _REFRESH_S)[0]:
            shown = live()[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be overwritten
            print(f'\x1b[A\r\x1b[K{shown}\n', end='', flush=True)
        line = sys.stdin.readline()
        if not line:
            raise CommandRefused('the input has ended; nothing was written')
        return line.strip()


class Script:
    """Answers line by line."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Take answers from ``lines``; they are read one at a time, as they are needed."""
        self._lines: Iterator[str] = iter(lines)

    def ask(self, question: str, live: Callable[[], str]) -> str:
        """Show question and readings once, and give the next answer.

        Raises:
            CommandRefused: there is none.
        """
        print(f'{question}\n{live()}', flush=True)
        line = next(self._lines, None)
        if line is None:
            raise CommandRefused(f'no answer is left for: {question} Nothing was written')
        answer = line.strip()
        print(f'> {answer}', flush=True)
        return answer


def dialogue(answers: str) -> Dialogue:
    """The person at the terminal, or the file ``answers``; ``-`` is standard input.

    Raises:
        CommandRefused: there is no terminal and no file.
        ConfigError: the file cannot be read.
    """
    if answers == '-':
        return Script(iter(sys.stdin.readline, ''))
    if answers:
        try:
            return Script(Path(answers).read_text(encoding='utf-8').splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f'cannot read the answers in {answers!r}: {error}') from error
    if not sys.stdin.isatty():
        raise CommandRefused('this asks questions: run it in a terminal, or give the answers with --answers FILE')
    return Terminal()


def typed_serial(talk: Dialogue, serial: str, consequence: str, live: Callable[[], str]) -> None:
    """Go on only where the whole serial number is typed.

    Raises:
        CommandRefused: something else was typed.
    """
    answer = talk.ask(f'{consequence}\nType the serial number of this hand in full to go on: ', live)
    if answer != serial:
        raise CommandRefused(f'{answer!r} is not the serial number {serial}; nothing was written')
