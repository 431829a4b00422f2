"""The machine a measurement ran on: what is needed to compare it, and nothing that identifies its owner.

No host name, serial number or address is read. What cannot be found out is None, never 0 and never a guess.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ('numpy', 'onnxruntime', 'openvino', 'torch', 'mujoco', 'rclpy', 'mcap', 'plotly')
FROZEN_FACTS = ('cpu.governor', 'cpu.turbo', 'cpu.max_khz', 'cpu.epp', 'power_mode', 'power_source', 'kernel')
"""What must not change between the start and the end of a run."""


def describe(rmw: str | None = None, *, root: Path = Path('/'),
             environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The ``system`` section of a result.

    Args:
        rmw: middleware in use, if the caller knows.
        root: where ``proc``, ``sys`` and ``etc`` are.
        environ: environment variables.
    """
    cpu = _cpu(root)
    card: dict[str, Any] = {
        'host_class': None,
        'board': _board(root),
        'cpu': cpu,
        'gpu': [],
        'ram_gb': _ram_gb(root),
        'os': _os_name(root),
        'kernel': platform.release() or None,
        'preempt_rt': _preempt_rt(root),
        'virtualised': _virtualised(root),
        'container': _container(root, environ),
        'ros_distro': environ.get('ROS_DISTRO'),
        'rmw': rmw or environ.get('RMW_IMPLEMENTATION'),
        'python': platform.python_version(),
        'libs': _libraries(),
        'power_mode': None,
        'power_source': _power_source(root),
        'ambient_c': None,
        'isolated_cpus': _text(root / 'sys/devices/system/cpu/isolated'),
        'rt_priority': None,
    }
    card['host_class'] = 'virtual machine' if card['virtualised'] else _text(
        root / 'sys/firmware/devicetree/base/model') and 'single-board computer'
    words = json.dumps(card, sort_keys=True).encode()
    return {'id': hashlib.sha256(words).hexdigest()[:12]} | card


def reason(code: str, where: str, detail: str, recommendation: str) -> dict[str, str]:
    """One entry of ``validity.reasons``."""
    return {'code': code, 'where': where, 'detail': detail, 'recommendation': recommendation}


def preflight(card: Mapping[str, Any]) -> list[dict[str, str]]:
    """What about this machine makes timings worth less; nothing is changed."""
    cpu, found = card['cpu'], []
    if card['virtualised']:
        found.append(reason('virtual_machine', 'system', 'a virtual machine: other tenants and the hypervisor add '
                            'delays that are not the policy\'s', 'measure on the robot\'s own computer'))
    if cpu['cores'] is not None and cpu['cores'] < 4:
        found.append(reason('few_cores', 'system', f'{cpu["cores"]} cores: driver, policy, simulation and profiler '
                            'share them', 'use a machine with at least 4 cores'))
    if cpu['governor'] not in (None, 'performance'):
        found.append(reason('governor', 'system', f'CPU governor is {cpu["governor"]}: clocks follow the load',
                            'sudo cpupower frequency-set -g performance'))
    if card['power_source'] == 'battery':
        found.append(reason('battery', 'system', 'running from the battery', 'connect the power supply'))
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, str]]:
    """Facts that must not change during a run and did: each makes it invalid."""
    found = []
    for path in FROZEN_FACTS:
        old, new = _at(before, path), _at(after, path)
        if old != new:
            found.append(reason('system_changed', path, f'{path} was {old} and became {new} during the run',
                                'fix the setting, then measure again'))
    return found


def _at(card: Mapping[str, Any], path: str) -> Any:
    value: Any = card
    for key in path.split('.'):
        value = value[key]
    return value


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors='replace').strip().strip('\0') or None
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.lstrip('-').isdigit() else None


def _cpu(root: Path) -> dict[str, Any]:
    info = _text(root / 'proc/cpuinfo') or ''
    fields: dict[str, str] = {}
    for line in info.splitlines():
        key, _, value = line.partition(':')
        fields.setdefault(key.strip(), value.strip())
    cpus = root / 'sys/devices/system/cpu'
    frequency = cpus / 'cpu0/cpufreq'
    threads = info.count('\nprocessor') + info.startswith('processor')
    smt = _number(cpus / 'smt/active')
    boost, no_turbo = _number(cpus / 'cpufreq/boost'), _number(cpus / 'intel_pstate/no_turbo')
    turbo = bool(boost) if boost is not None else not no_turbo if no_turbo is not None else None
    return {
        'model': fields.get('model name') or fields.get('Model') or fields.get('Hardware'),
        'cores': threads or None,
        'smt': None if smt is None else bool(smt),
        'microcode': fields.get('microcode'),
        'governor': _text(frequency / 'scaling_governor'),
        'epp': _text(frequency / 'energy_performance_preference'),
        'min_khz': _number(frequency / 'scaling_min_freq'),
        'max_khz': _number(frequency / 'scaling_max_freq'),
        'turbo': turbo,
    }


def _board(root: Path) -> str | None:
    tree = _text(root / 'sys/firmware/devicetree/base/model')
    if tree:
        return tree
    parts = [_text(root / 'sys/class/dmi/id' / name) for name in ('board_vendor', 'board_name')]
    return ' '.join(p for p in parts if p) or None


def _ram_gb(root: Path) -> float | None:
    for line in (_text(root / 'proc/meminfo') or '').splitlines():
        if line.startswith('MemTotal:'):
            return round(int(line.split()[1]) * 1024 / 1e9, 1)
    return None


def _os_name(root: Path) -> str | None:
    for line in (_text(root / 'etc/os-release') or '').splitlines():
        if line.startswith('PRETTY_NAME='):
            return line.partition('=')[2].strip('"')
    return platform.system() or None


def _preempt_rt(root: Path) -> bool | None:
    flag = _number(root / 'sys/kernel/realtime')
    if flag is not None:
        return bool(flag)
    text = _text(root / 'proc/version')
    return None if text is None else 'PREEMPT_RT' in text


def _virtualised(root: Path) -> bool | None:
    info = _text(root / 'proc/cpuinfo')
    if _text(root / 'sys/hypervisor/type') is not None:
        return True
    if info is None or 'flags' not in info:
        return None
    return ' hypervisor' in info


def _container(root: Path, environ: Mapping[str, str]) -> str | None:
    if (root / '.dockerenv').exists():
        return 'docker'
    if (root / 'run/.containerenv').exists():
        return 'podman'
    return environ.get('container')


def _power_source(root: Path) -> str | None:
    kinds: dict[str, list[str | None]] = {}
    for supply in sorted((root / 'sys/class/power_supply').glob('*')):
        kind = _text(supply / 'type') or ''
        kinds.setdefault(kind, []).append(_text(supply / ('online' if kind != 'Battery' else 'status')))
    if '1' in kinds.get('Mains', []) or '1' in kinds.get('USB', []):
        return 'ac'
    return 'battery' if 'Discharging' in kinds.get('Battery', []) else None


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
