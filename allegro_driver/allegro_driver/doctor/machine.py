"""The machine that is examined: everything the checks read of the system, in one place that tests can replace."""

from __future__ import annotations

import getpass
import glob
import grp
import importlib.metadata
import importlib.util
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

_COMMAND_S = 5.0
UNLIMITED = -1
"""How a limit without bound reads."""


class Machine(Protocol):
    """What checks may ask."""

    def run(self, *words: str) -> str | None:
        """Standard output of a command; None where it does not exist, fails or hangs."""
        ...

    def read(self, path: str) -> str | None:
        """Content of a text file, None where there is none."""
        ...

    def paths(self, pattern: str) -> list[str]:
        """Files that match, sorted."""
        ...

    def usable(self, path: str) -> bool:
        """Whether this user may read and write it."""
        ...

    def variable(self, name: str) -> str:
        """Environment variable, '' where it is not set."""
        ...

    def limit(self, name: str) -> int:
        """Soft limit of this process, e.g. ``RTPRIO``; :data:`UNLIMITED` without bound."""
        ...

    def python(self) -> tuple[int, int, int]:
        """Version of the interpreter."""
        ...

    def package(self, distribution: str, module: str) -> str | None:
        """Version of a Python package, '' where it tells none, None where it is not installed."""
        ...

    def user(self) -> str:
        """Name of the user."""
        ...

    def root(self) -> bool:
        """Whether this is the superuser."""
        ...

    def groups(self) -> set[str]:
        """Groups of this session."""
        ...

    def can_socket(self) -> str:
        """'' where the kernel makes CAN sockets, else why not."""
        ...

    def udp_port(self, port: int) -> str:
        """'' where the UDP port can be had, else why not."""
        ...

    def source_address(self, ip: str) -> str:
        """Local address from which packets to ``ip`` would leave, '' where there is no way. Sends nothing."""
        ...


class ThisMachine:
    """The machine this runs on."""

    def run(self, *words: str) -> str | None:
        """See :class:`Machine`."""
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=_COMMAND_S, check=False, stdin=subprocess.DEVNULL,
                errors='replace', env={**os.environ, 'LC_ALL': 'C'})
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def read(self, path: str) -> str | None:
        """See :class:`Machine`."""
        try:
            return Path(path).read_text(encoding='utf-8', errors='replace')
        except OSError:
            return None

    def paths(self, pattern: str) -> list[str]:
        """See :class:`Machine`."""
        return sorted(glob.glob(pattern))

    def usable(self, path: str) -> bool:
        """See :class:`Machine`."""
        return os.access(path, os.R_OK | os.W_OK)

    def variable(self, name: str) -> str:
        """See :class:`Machine`."""
        return os.environ.get(name, '')

    def limit(self, name: str) -> int:
        """See :class:`Machine`."""
        return resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))[0]

    def python(self) -> tuple[int, int, int]:
        """See :class:`Machine`."""
        return sys.version_info[:3]

    def package(self, distribution: str, module: str) -> str | None:
        """See :class:`Machine`."""
        try:
            if importlib.util.find_spec(module) is None:
                return None
        except (ImportError, ValueError):
            return None
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return ''

    def user(self) -> str:
        """See :class:`Machine`."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return str(os.getuid())

    def root(self) -> bool:
        """See :class:`Machine`."""
        return os.geteuid() == 0

    def groups(self) -> set[str]:
        """See :class:`Machine`."""
        names = set()
        for number in {*os.getgroups(), os.getegid()}:
            try:
                names.add(grp.getgrgid(number).gr_name)
            except KeyError:
                names.add(str(number))
        return names

    def can_socket(self) -> str:
        """See :class:`Machine`."""
        try:
            socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
        except (AttributeError, OSError) as error:
            return str(error)
        return ''

    def udp_port(self, port: int) -> str:
        """See :class:`Machine`."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', port))
            except OSError as error:
                return error.strerror or str(error)
        return ''

    def source_address(self, ip: str) -> str:
        """See :class:`Machine`."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((ip, 9))  # of a datagram socket: a look into the routing table
                return str(probe.getsockname()[0])
            except OSError:
                return ''
