"""UDP: is there a way to the hand, and are the ports free?"""

from __future__ import annotations

import ipaddress
import json

from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import Machine

HAND_PORT = 7000
_PREFIX = 24  # the factory's netmask


def check_network(machine: Machine, wanted: Wanted) -> list[Finding]:
    """Route to the hand, ports."""
    if wanted.other('udp'):
        return [Finding(Level.OK, 'network', f'not looked at, the hand is on {wanted.link}')]
    return [_route(machine, wanted), _local_port(machine, wanted), _hand_port(machine)]


def _route(machine: Machine, wanted: Wanted) -> Finding:
    hand = ipaddress.IPv4Address(wanted.hand_ip)
    network = ipaddress.ip_network(f'{hand}/{_PREFIX}', strict=False)
    source = machine.source_address(wanted.hand_ip)
    topic = f'way to {wanted.hand_ip}'
    if hand.is_loopback:
        return Finding(Level.OK, topic, 'this machine')
    if source and ipaddress.IPv4Address(source) in network:
        if source == wanted.hand_ip:
            return Finding(wanted.missing('udp'), topic, 'this machine itself has the address of the hand',
                           f'sudo ip address del {source}/{_PREFIX} dev INTERFACE')
        return Finding(Level.OK, topic, f'from {source}')
    wired = wired_interfaces(machine.run('ip', '-json', 'link', 'show'))
    name = wired[0] if len(wired) == 1 else 'INTERFACE'
    choice = f'   (INTERFACE is one of: {", ".join(wired)})' if len(wired) > 1 else ''
    own = next(str(address) for address in network.hosts() if address != hand and int(address) % 256 >= 10)
    found = f'packets would leave from {source}, which is another network' if source else 'no route'
    return Finding(wanted.missing('udp'), topic, found,
                   f'sudo ip address add {own}/{_PREFIX} dev {name}{choice}')


def wired_interfaces(text: str | None) -> list[str]:
    """Names of interfaces that a cable may be in, from ``ip -json link show``."""
    try:
        rows = json.loads(text or '')
    except ValueError:
        return []
    names = [row['ifname'] for row in rows if isinstance(row, dict) and row.get('link_type') == 'ether'
             and isinstance(row.get('ifname'), str)]
    return [name for name in names if not name.startswith(('docker', 'veth', 'br-', 'virbr', 'wl', 'ifb'))]


def _local_port(machine: Machine, wanted: Wanted) -> Finding:
    topic = f'UDP port {wanted.local_port}'
    busy = machine.udp_port(wanted.local_port)
    if busy:
        return Finding(
            wanted.missing('udp'), topic, f'cannot be had: {busy}; another driver?',
            f"sudo ss -lunp 'sport = :{wanted.local_port}'   (or give another one: "
            f'{wanted.hand_ip}:{HAND_PORT}:{wanted.local_port + 1})')
    return Finding(Level.OK, topic, 'free, for the samples of the hand')


def _hand_port(machine: Machine) -> Finding:
    topic = f'UDP port {HAND_PORT}'
    if machine.udp_port(HAND_PORT):
        return Finding(
            Level.WARN, topic, 'taken on this machine (Fast DDS does that on Jazzy, and an emulated hand); a hand at '
            'its own address does not mind', 'hand_emulator --port 17000   (where you want another emulated hand)')
    return Finding(Level.OK, topic, 'free, for an emulated hand')
