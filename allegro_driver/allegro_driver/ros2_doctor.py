"""Checks of ``allegro-hand doctor`` inside ``ros2 doctor``, which finds them by an entry point of this package.

ros2doctor calls what the entry point names, without arguments, and then ``category()`` and ``check()`` of the result.
"""

from __future__ import annotations

import importlib
from typing import Any

from allegro_driver.doctor import Level, Machine, Wanted, examine
from allegro_driver.doctor.finding import Finding
from allegro_driver.doctor.machine import ThisMachine


class HandCheck:
    """What ros2doctor asks of a check."""

    def __init__(self, machine: Machine) -> None:
        """Examine ``machine``."""
        self._machine = machine

    def category(self) -> str:
        """Under which word failures are listed."""
        return 'allegro hand'

    def check(self) -> Any:
        """Examine the machine; warnings and errors are shown by ros2doctor's own functions.

        Returns:
            ros2doctor's ``Result`` with their numbers.
        """
        result = importlib.import_module('ros2doctor.api').Result()
        show = importlib.import_module('ros2doctor.api.format')
        for section, findings in examine(self._machine, Wanted()).items():
            for finding in findings:
                if finding.level is Level.FAIL:
                    show.doctor_error(sentence(section, finding))
                    result.add_error()
                elif finding.level is Level.WARN:
                    show.doctor_warn(sentence(section, finding))
                    result.add_warning()
        return result


def sentence(section: str, finding: Finding) -> str:
    """A finding in one line."""
    remedy = f' Mend it with: {finding.remedy}' if finding.remedy else ''
    return f'allegro hand, {section}: {finding.topic}: {finding.found}.{remedy}'


def hand_check() -> HandCheck:
    """What the entry point names."""
    return HandCheck(ThisMachine())
