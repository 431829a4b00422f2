"""Is this machine ready for a hand? Checks look and change nothing; each finding carries the command that mends it."""

from __future__ import annotations

from allegro_driver.doctor.can_checks import check_can
from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import Machine
from allegro_driver.doctor.network_checks import check_network
from allegro_driver.doctor.python_checks import check_python
from allegro_driver.doctor.realtime_checks import check_realtime
from allegro_driver.doctor.ros_checks import check_ros

__all__ = ['Finding', 'Level', 'Machine', 'Wanted', 'examine']

CHECKS = {
    'Python': check_python,
    'CAN': check_can,
    'network': check_network,
    'real time': check_realtime,
    'ROS 2': check_ros,
}
"""Section to its check."""


def examine(machine: Machine, wanted: Wanted) -> dict[str, list[Finding]]:
    """Findings by section.

    Args:
        machine: what is looked at.
        wanted: the hand that is to be used.
    """
    return {section: check(machine, wanted) for section, check in CHECKS.items()}
