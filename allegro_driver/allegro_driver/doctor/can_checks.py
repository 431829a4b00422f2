"""CAN: kernel, interfaces, their bit rate and state, serial adapters."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from typing import Any

from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import Machine
from allegro_driver.link.can_bus import BITRATE

_SERIAL = ('/dev/ttyACM*', '/dev/ttyUSB*')
_BAD_STATES = {
    'ERROR-WARNING': 'errors on the bus: check termination (120 ohm at both ends), bit rate and cable',
    'ERROR-PASSIVE': 'nobody answers on the bus: is the hand powered, is the bus terminated, is the bit rate right?',
    'BUS-OFF': 'the adapter has switched itself off after too many errors',
}


def bring_up(name: str) -> str:
    """The command that brings an interface up as the hands need it."""
    return f'sudo ip link set {name} up type can bitrate {BITRATE} restart-ms 100'


def restart(name: str) -> str:
    """The command that takes an interface down and brings it up as the hands need it."""
    return f'sudo ip link set {name} down && {bring_up(name)}'


def check_can(machine: Machine, wanted: Wanted) -> list[Finding]:
    """Kernel support, interfaces, serial adapters; where an address is known, only what this one needs."""
    if wanted.other('can'):
        return [Finding(Level.OK, 'CAN', f'not looked at, the hand is on {wanted.link}')]
    if wanted.adapter == 'slcan':
        return [_line(machine, wanted.interface)]
    if wanted.adapter not in ('', 'socketcan'):
        return [Finding(Level.OK, 'CAN', f'not looked at, {wanted.adapter} has a driver of its own')]
    if wanted.adapter and wanted.interface:
        return [_kernel(machine, wanted), *_interfaces(machine, wanted)]
    findings = [_kernel(machine, wanted), *_interfaces(machine, wanted), *_serial(machine)]
    adapters = any(f.topic.startswith(('interface ', '/dev/')) for f in findings)
    if not adapters:
        findings.append(Finding(
            wanted.missing('can'), 'adapters', 'no CAN interface and no serial adapter',
            'plug the adapter in, then: ip -br link show type can; ls /dev/ttyACM* /dev/ttyUSB*'))
    return findings


def _kernel(machine: Machine, wanted: Wanted) -> Finding:
    refused = machine.can_socket()
    if refused:
        return Finding(wanted.missing('can'), 'SocketCAN', f'the kernel makes no CAN sockets: {refused}',
                       'sudo modprobe can_raw   (in containers: on the host; without it: slcan:/dev/ttyACM0)')
    return Finding(Level.OK, 'SocketCAN', 'the kernel makes CAN sockets')


def can_links(text: str | None) -> list[Mapping[str, Any]] | None:
    """Read ``ip -details -json link show type can``; None where it cannot be read."""
    try:
        rows = json.loads(text or '')
    except ValueError:
        return None
    if not isinstance(rows, list):
        return None
    # Some versions print an empty object for every interface of another type.
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get('ifname'), str)]


def _interfaces(machine: Machine, wanted: Wanted) -> list[Finding]:
    text = machine.run('ip', '-details', '-json', 'link', 'show', 'type', 'can')
    links = can_links(text)
    if links is None:
        if machine.run('ip', '-V') is None:
            return [Finding(Level.WARN, 'ip', 'the program ip is missing', 'sudo apt install iproute2')]
        if wanted.adapter and wanted.interface:
            return [_other(machine, wanted.interface, [])]
        return []  # this kernel or this ip knows no type can: the finding about adapters says so
    names = [link['ifname'] for link in links]
    findings = [_interface(link) for link in links if wanted.adapter == '' or link['ifname'] == wanted.interface]
    if wanted.interface and wanted.interface not in names:
        findings.append(_other(machine, wanted.interface, names))
    return findings


def _other(machine: Machine, name: str, names: list[str]) -> Finding:
    """An interface that was asked for and is no CAN hardware."""
    topic, there = f'interface {name}', f'there are: {", ".join(names) or "none"}'
    rows = can_links(machine.run('ip', '-details', '-json', 'link', 'show', 'dev', name)) or [{}]
    if _table(rows[0], 'linkinfo').get('info_kind') != 'vcan':
        return Finding(Level.FAIL, topic, f'no such CAN interface; {there}',
                       'plug the adapter in and look with: ip -br link show type can')
    if 'UP' in (rows[0].get('flags') or ()):
        return Finding(Level.OK, topic, 'virtual, up')
    return Finding(Level.FAIL, topic, 'virtual, down', f'sudo ip link set {name} up')


def _interface(link: Mapping[str, Any]) -> Finding:
    name, topic = link['ifname'], f'interface {link["ifname"]}'
    data = _table(_table(link, 'linkinfo'), 'info_data')
    rate, state, restart_ms = _table(data, 'bittiming').get('bitrate'), data.get('state'), data.get('restart_ms')
    errors = _table(data, 'berr_counter')
    flags = link.get('flags')
    if not isinstance(flags, list) or 'UP' not in flags:
        return Finding(Level.FAIL, topic, 'down', bring_up(name))
    found = f'up, {rate} bit/s, {state}, errors tx {errors.get("tx", "?")} rx {errors.get("rx", "?")}'
    modes = data.get('ctrlmode')
    if isinstance(modes, list) and 'LISTEN-ONLY' in modes:
        return Finding(
            Level.FAIL, topic, f'{found}, listen-only: nothing can be sent', f'{restart(name)} listen-only off')
    if rate is not None and rate != BITRATE:
        return Finding(Level.FAIL, topic, f'{found}; the hands speak {BITRATE}', restart(name))
    if state in _BAD_STATES:
        level = Level.WARN if state == 'ERROR-WARNING' else Level.FAIL
        return Finding(level, topic, f'{found}: {_BAD_STATES[state]}', restart(name))
    if not restart_ms:
        return Finding(Level.WARN, topic, f'{found}; it stays off after a bus-off', restart(name))
    return Finding(Level.OK, topic, found)


def _table(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _serial(machine: Machine) -> list[Finding]:
    return [_adapter(machine, path, Level.WARN) for pattern in _SERIAL for path in machine.paths(pattern)]


def _adapter(machine: Machine, path: str, level: Level) -> Finding:
    """One serial adapter; ``level``: how bad it is if it may not be used."""
    if machine.usable(path):
        return Finding(Level.OK, path, 'serial adapter, may be used: slcan:' + path)
    if 'dialout' in machine.groups():
        return Finding(level, path, 'serial adapter, but you may not use it',
                       f'ls -l {path}   (its group is not dialout: sudo chgrp dialout {path})')
    return Finding(level, path, f'serial adapter, but {machine.user()} is not in the group dialout',
                   f'sudo usermod -aG dialout {machine.user()}   (then log in anew)')


def _line(machine: Machine, path: str) -> Finding:
    """The serial line that the address names."""
    if machine.paths(glob.escape(path)):
        return _adapter(machine, path, Level.FAIL)
    there = ', '.join(found for pattern in _SERIAL for found in machine.paths(pattern))
    return Finding(Level.FAIL, path, f'no such serial line; there are: {there or "none"}',
                   f'plug the adapter in and look with: ls {" ".join(_SERIAL)}')
