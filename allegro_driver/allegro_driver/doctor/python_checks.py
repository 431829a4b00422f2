"""Python and the packages that the suite uses."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import Machine

OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class _Package:
    """A package: what it is for, and which link cannot do without it ('' for none, '*' for everything)."""

    distribution: str
    module: str
    purpose: str
    install: str
    link: str = ''


_PACKAGES = (
    _Package('numpy', 'numpy', 'everything', 'pip install numpy', '*'),
    _Package('PyYAML', 'yaml', 'hand descriptions', 'pip install pyyaml', '*'),
    _Package('python-can', 'can', 'CAN adapters other than slcan', 'pip install "python-can>=4.5,<5"', 'can'),
    _Package('mujoco', 'mujoco', 'the emulated hand with contacts', 'pip install "mujoco>=3.17,<5"'),
)


def check_python(machine: Machine, wanted: Wanted) -> list[Finding]:
    """Interpreter and packages."""
    version = machine.python()
    shown = '.'.join(str(part) for part in version)
    findings = [Finding(Level.OK, 'Python', shown)]
    if version[:2] < OLDEST:
        oldest = '.'.join(str(part) for part in OLDEST)
        findings = [Finding(Level.FAIL, 'Python', f'{shown}; the suite needs {oldest}',
                            f'python{oldest} -m venv .venv   (after installing it)')]
    return [*findings, *(_package(machine, wanted, package) for package in _PACKAGES)]


def _package(machine: Machine, wanted: Wanted, package: _Package) -> Finding:
    version = machine.package(package.distribution, package.module)
    if version is not None:
        return Finding(Level.OK, package.distribution, version or 'installed, tells no version')
    if package.link == 'can' and (wanted.other('can') or wanted.adapter == 'slcan'):
        return Finding(Level.OK, package.distribution, 'not installed, and not needed for this hand')
    level = Level.FAIL if package.link in ('*', wanted.link) and package.link else Level.WARN
    return Finding(level, package.distribution, f'not installed; needed for {package.purpose}', package.install)
