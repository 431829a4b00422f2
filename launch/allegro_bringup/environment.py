"""Child processes need two things that nobody sets on a machine without ROS: where programs are, and an environment.

The ROS wheels of a virtual environment bring a start-up hook that starts every Python process a second time to set
``LD_LIBRARY_PATH``, and marks with a variable that it has. Both are set here once for all children instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from allegro_description.errors import MissingDependency

_LEAKING = ('_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'ROS_LOCALHOST_ONLY')
# Fast DDS derives its UDP ports from the domain id. Above 101 they reach into the range Linux gives to anybody.
_DOMAINS = range(1, 102)


def find_executable(package: str, executable: str) -> list[str]:
    """Return the beginning of the command line that runs a package's program.

    Looked for as ``lib/<package>/<executable>`` in every prefix of ``AMENT_PREFIX_PATH`` (colcon, robots), beside this
    Python (virtual environments), and among the entry points of the installed packages.

    Raises:
        MissingDependency: it is nowhere.
    """
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    candidates = [prefix / 'lib' / package / executable for prefix in prefixes]
    for path in (*candidates, Path(sys.prefix) / 'bin' / executable):
        if os.access(path, os.X_OK):
            return [str(path)]
    for point in importlib.metadata.entry_points(group='console_scripts', name=executable):
        code = f'import sys; from {point.module} import {point.attr} as run; sys.argv[0] = {executable!r}; '
        return [sys.executable, '-c', code + 'sys.exit(run())']
    raise MissingDependency(
        f'program {executable!r} of package {package!r} is not installed here; '
        'build the workspace with colcon, or set it up with `make demo` or `make test`'
    )


def child_environment(domain_id: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a run's processes: one ROS domain, this machine only.

    Args:
        domain_id: ROS domain of the run.
        base: environment to start from, by default this process's.
    """
    environment = {k: v for k, v in (os.environ if base is None else base).items() if k not in _LEAKING}
    environment['ROS_DOMAIN_ID'] = str(domain_id)
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    environment['PYTHONUNBUFFERED'] = '1'
    # One thread each: a second one of a matrix library costs a control loop more than it gives on small matrices.
    for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
        environment.setdefault(name, '1')
    environment['RCUTILS_COLORIZED_OUTPUT'] = '0'
    prefix = Path(sys.prefix)
    if _has_ros_wheels(prefix):
        site = prefix / 'lib' / f'python{sys.version_info.major}.{sys.version_info.minor}' / 'site-packages'
        libraries = [str(prefix / 'lib'), *sorted(str(p) for p in site.glob('ros_*.libs'))]
        environment['LD_LIBRARY_PATH'] = _joined(libraries, environment.get('LD_LIBRARY_PATH', ''))
        environment['AMENT_PREFIX_PATH'] = _joined([], environment.get('AMENT_PREFIX_PATH', ''), [str(prefix)])
        environment['_ROS_WHEELS_BOOTSTRAP_COMPLETE'] = '1'
    return environment


def free_domain_id() -> int:
    """Return a ROS domain id whose first discovery port nobody on this machine holds; a random one of those."""
    start = secrets.randbelow(len(_DOMAINS))
    for step in range(len(_DOMAINS)):
        domain = _DOMAINS[(start + step) % len(_DOMAINS)]
        # Unicast discovery port of the first participant (RTPS 2.2, 9.6.1.1).
        if port_is_free(7400 + 250 * domain + 10, socket.SOCK_DGRAM, host=''):
            return domain
    return _DOMAINS[start]


def port_is_free(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM, host: str = '127.0.0.1') -> bool:
    """Whether a socket can be bound to ``port`` now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int, kind: socket.SocketKind = socket.SOCK_DGRAM, taken: Iterable[int] = ()) -> int:
    """Return ``preferred`` if it is free, else another port of 127.0.0.1 that is, and none of ``taken``."""
    if preferred not in taken and port_is_free(preferred, kind):
        return preferred
    while True:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(('127.0.0.1', 0))
            port = int(probe.getsockname()[1])
        # On Jazzy, Fast DDS takes local UDP port 7000 for itself.
        if port not in taken and port >= 8000:
            return port


def _has_ros_wheels(prefix: Path) -> bool:
    return (prefix / 'share' / 'ament_index').is_dir() and (prefix / 'lib' / 'librcl.so').exists()


def _joined(first: Iterable[str], existing: str, last: Iterable[str] = ()) -> str:
    parts = [*first, *(p for p in existing.split(os.pathsep) if p), *last]
    return os.pathsep.join(dict.fromkeys(parts))
