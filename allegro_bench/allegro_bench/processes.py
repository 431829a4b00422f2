"""CPU time of the nodes, read from ``/proc`` of this machine by the process ids in their diagnostics."""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf('SC_CLK_TCK')
"""Unit of the times in ``/proc``, 1/s; usually 10 ms a tick."""

SAME_S = 1.5
"""A node's own count of CPU seconds and the kernel's agree within this, or they are not the same process."""


def cpu_seconds(pid: int, proc: Path = Path('/proc')) -> float | None:
    """CPU seconds (user and kernel, all threads) used by a process so far; None if there is none such here."""
    try:
        # The command name may hold spaces and brackets, so the fields are counted from its last bracket.
        fields = (proc / str(pid) / 'stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    except (OSError, ValueError, IndexError):
        return None


def machine_seconds(proc: Path = Path('/proc')) -> float | None:
    """CPU seconds that all cores of this machine have been busy so far; None where that cannot be read."""
    try:
        fields = [int(f) for f in (proc / 'stat').read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / TICKS_PER_S


@dataclass(slots=True)
class Process:
    """One process: the nodes in it, and its CPU seconds over time.

    Attributes:
        pid: process id.
        nodes: names of the nodes that report this id.
        source: ``proc`` where the kernel of this machine counts, ``reported`` where only the node itself does.
        time_s: when it was read, s since the run began.
        cpu_s: CPU seconds so far.
    """

    pid: int
    nodes: list[str]
    source: str
    time_s: array[float] = field(default_factory=lambda: array('d'))
    cpu_s: array[float] = field(default_factory=lambda: array('d'))

    @property
    def name(self) -> str:
        """The nodes' names, joined."""
        return ' + '.join(self.nodes)

    def add(self, time_s: float, cpu_s: float) -> None:
        """Append one reading; a count that falls belongs to a new process and starts the record again."""
        if self.cpu_s and cpu_s < self.cpu_s[-1]:
            del self.time_s[:], self.cpu_s[:]
        self.time_s.append(time_s)
        self.cpu_s.append(cpu_s)


class ProcessTable:
    """Every process that announced itself in ``/diagnostics``."""

    def __init__(self, proc: Path = Path('/proc')) -> None:
        """Nothing seen yet; ``proc`` is where the kernel shows processes."""
        self._proc = proc
        self._all: dict[int, Process] = {}
        self.machine = Process(0, ['whole machine'], 'proc')

    @property
    def processes(self) -> list[Process]:
        """All processes seen, in order of appearance."""
        return list(self._all.values())

    def of(self, node: str) -> Process | None:
        """The process a node runs in; after a restart the newest one."""
        return next((p for p in reversed(self._all.values()) if node in p.nodes), None)

    def announce(self, node: str, pid: int, reported_cpu_s: float | None, time_s: float) -> None:
        """Note what a node says about itself once per second."""
        process = self._all.get(pid)
        if process is None:
            here = cpu_seconds(pid, self._proc)
            # The same number on another machine, or in another container, is another process.
            ours = here is not None and (reported_cpu_s is None or abs(here - reported_cpu_s) < SAME_S)
            process = self._all[pid] = Process(pid, [], 'proc' if ours else 'reported')
        if node not in process.nodes:
            process.nodes.append(node)
        if process.source == 'reported' and reported_cpu_s is not None and process.nodes[0] == node:
            process.add(time_s, reported_cpu_s)

    def sample(self, time_s: float) -> None:
        """Read the CPU time of every process of this machine, and of the machine."""
        for process in self._all.values():
            used = cpu_seconds(process.pid, self._proc) if process.source == 'proc' else None
            if used is not None:
                process.add(time_s, used)
        busy = machine_seconds(self._proc)
        if busy is not None:
            self.machine.add(time_s, busy)
