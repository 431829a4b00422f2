"""ROS 2: is it there, and who else can talk to the hand?"""

from __future__ import annotations

from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import Machine

HIGHEST_DOMAIN = 101
"""Above it the middleware's UDP ports reach into the range that Linux hands out to anybody."""


def check_ros(machine: Machine, wanted: Wanted) -> list[Finding]:
    """Distribution, middleware, domain and range of discovery."""
    if machine.package('rclpy', 'rclpy') is None:
        return [Finding(Level.OK, 'rclpy', 'not installed here; the command line works without',
                        'source /opt/ros/DISTRIBUTION/setup.bash   (for the nodes)')]
    distribution = machine.variable('ROS_DISTRO')
    middleware = machine.variable('RMW_IMPLEMENTATION') or 'the default middleware'
    findings = [Finding(Level.OK, 'rclpy', f'{distribution or "installed, ROS_DISTRO is not set"}, {middleware}')]
    return [*findings, _domain(machine), _discovery(machine)]


def _domain(machine: Machine) -> Finding:
    text = machine.variable('ROS_DOMAIN_ID')
    if not text:
        return Finding(Level.OK, 'ROS_DOMAIN_ID', 'not set: domain 0')
    if not text.isascii() or not text.isdigit():
        return Finding(Level.FAIL, 'ROS_DOMAIN_ID', f'{text!r} is no whole number', 'export ROS_DOMAIN_ID=42')
    if int(text) > HIGHEST_DOMAIN:
        return Finding(
            Level.WARN, 'ROS_DOMAIN_ID', f'{text}: above {HIGHEST_DOMAIN} its ports may collide with those of others',
            'export ROS_DOMAIN_ID=42')
    return Finding(Level.OK, 'ROS_DOMAIN_ID', text)


def _discovery(machine: Machine) -> Finding:
    topic = 'discovery'
    reach = machine.variable('ROS_AUTOMATIC_DISCOVERY_RANGE').upper()
    if machine.variable('ROS_LOCALHOST_ONLY') not in ('', '0'):
        return Finding(Level.OK, topic, 'this machine only (ROS_LOCALHOST_ONLY, which newer distributions replace by '
                                        'ROS_AUTOMATIC_DISCOVERY_RANGE)')
    if reach == 'OFF':
        return Finding(Level.FAIL, topic, 'off: nodes do not find each other',
                       'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST')
    if reach == 'LOCALHOST':
        return Finding(Level.OK, topic, 'this machine only')
    if reach not in ('', 'SUBNET', 'SYSTEM_DEFAULT'):
        return Finding(Level.FAIL, topic, f'ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}, which means nothing',
                       'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST')
    domain = machine.variable('ROS_DOMAIN_ID') or '0'
    return Finding(
        Level.WARN, topic, f'the whole network: whoever is in domain {domain} there can command the hand',
        'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST   (or a ROS_DOMAIN_ID that nobody else has)')
