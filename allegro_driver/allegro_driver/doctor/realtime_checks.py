"""Punctuality: what the operating system allows the control loop."""

from __future__ import annotations

from collections import Counter

from allegro_driver.doctor.finding import Finding, Level, Wanted
from allegro_driver.doctor.machine import UNLIMITED, Machine

LIMITS_FILE = '/etc/security/limits.d/allegro-hand.conf'
_MEMORY = 512 * 2**20  # bytes; a node with its middleware maps less than this
_NICE = 15             # the control process asks for nice -15


def check_realtime(machine: Machine, wanted: Wanted) -> list[Finding]:
    """Limits of this user, frequency scaling, kernel. Everything works without; late answers get more."""
    return [*_limits(machine, wanted), _governor(machine), _kernel(machine)]


def _limits(machine: Machine, wanted: Wanted) -> list[Finding]:
    if machine.root():
        return [Finding(Level.OK, 'limits', 'superuser: real-time priority and locked memory are allowed')]
    user = machine.user()
    rows = (
        ('real-time priority', 'RTPRIO', wanted.priority, f'rtprio {wanted.priority + 10}', str),
        ('locked memory', 'MEMLOCK', _MEMORY, 'memlock unlimited', lambda v: f'{v / 2**20:.0f} MiB'),
        # The kernel counts nice as 20 - nice: -15 is 35.
        ('nice', 'NICE', 20 + _NICE, f'nice -{_NICE}', lambda v: str(20 - v)),
    )
    findings = []
    for topic, name, needed, line, show in rows:
        value = machine.limit(name)
        if value == UNLIMITED or value >= needed:
            findings.append(Finding(Level.OK, topic, 'unlimited' if value == UNLIMITED else f'up to {show(value)}'))
        else:
            findings.append(Finding(
                Level.WARN, topic, f'up to {show(value)}; the control loop asks for {show(needed)}',
                f"echo '{user} - {line}' | sudo tee -a {LIMITS_FILE}   (then log in anew)"))
    return findings


def _governor(machine: Machine) -> Finding:
    paths = machine.paths('/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor')
    kinds = Counter(text.strip() for path in paths if (text := machine.read(path)))
    if not kinds:
        return Finding(Level.OK, 'CPU frequency', 'not controlled from here (virtual machine?)')
    found = ', '.join(f'{count} x {kind}' for kind, count in kinds.items())
    if set(kinds) == {'performance'}:
        return Finding(Level.OK, 'CPU frequency', found)
    return Finding(Level.WARN, 'CPU frequency', f'{found}: processors that doze answer late',
                   'sudo cpupower frequency-set -g performance   (package linux-tools; until the next boot)')


def _kernel(machine: Machine) -> Finding:
    release = (machine.read('/proc/sys/kernel/osrelease') or 'unknown').strip()
    if (machine.read('/sys/kernel/realtime') or '').strip() == '1':
        return Finding(Level.OK, 'kernel', f'{release}, PREEMPT_RT')
    return Finding(Level.OK, 'kernel', f'{release}, ordinary; a 3 ms loop does not need PREEMPT_RT')
