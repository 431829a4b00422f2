"""What a run is asked for, and how a result states it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from allegro_ai.bundle import Bundle

from allegro_bench.running import plan
from allegro_bench.running.engines import Engine
from allegro_bench.running.order import order
from allegro_bench.running.profiles import Profile
from allegro_bench.running.workload import Workload

UTC = timezone.utc  # noqa: UP017  (packs run on Python 3.10 too)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is asked for.

    Attributes:
        chosen, bundle: the workload.
        engines: backends, in the order in which they were named.
        reference: opens and closes the run.
        profile: lengths.
        seed: of the order.
        reverse: the order backwards.
        spin_us: busy wait before each release, us.
        notes: sentences for the result.
        command_line: as it was called.
        intensity: section ``run.carbon_intensity``, or None.
        quiet: no progress.
    """

    chosen: Workload
    bundle: Bundle
    engines: Sequence[Engine]
    reference: Engine
    profile: Profile
    seed: int = 1
    reverse: bool = False
    spin_us: float = 0.0
    notes: Sequence[str] = ()
    command_line: Sequence[str] = ()
    intensity: Mapping[str, Any] | None = None
    quiet: bool = False

    def planned(self) -> list[plan.Planned]:
        """Every step."""
        return plan.steps(self.chosen, self.engines, self.reference, self.profile, self.seed, reverse=self.reverse)

    def order(self) -> list[dict[str, Any]]:
        """Section ``run.order``: the measured blocks in order."""
        rows = order([e.name for e in self.engines], self.profile.blocks, self.seed, reverse=self.reverse)
        return [{'round': number, 'backend': name} for number, name in rows]


def run_section(setup: Setup, affinity: Sequence[int] | None) -> dict[str, Any]:
    """Section ``run`` of a result as it begins."""
    return {
        'id': str(uuid.uuid4()), 'created_utc': now_utc(), 'finished_utc': None, 'tool_version': tool_version(),
        'git_sha': None, 'command_line': list(setup.command_line), 'profile': setup.profile.name,
        'settings': setup.profile.as_dict(), 'order_seed': setup.seed, 'order_reversed': setup.reverse,
        'order': setup.order(), 'carbon_intensity': None if setup.intensity is None else dict(setup.intensity),
        'meter_overhead': None,
        'harness': {'spin_us': setup.spin_us, 'affinity_measuring': None if affinity is None else list(affinity),
                    'garbage_collector': 'off within blocks', 'reference': setup.reference.name,
                    'clock': 'CLOCK_MONOTONIC, sleep to absolute deadlines'},
        'system_after_id': None, 'notes': list(setup.notes),
    }


def backend_entry(engine: Engine) -> dict[str, Any]:
    """An entry of ``backends`` before anything is known of the backend but its name.

    The suite's own backends run one thread that does not spin; of others nobody knows.
    """
    own = ':' not in engine.plugin
    return {
        'name': engine.name, 'plugin': engine.plugin, 'version': None, 'device': engine.device,
        'precision': engine.precision, 'artifact_sha256': None, 'options': {},
        'threads': {'intra': 1 if own else None, 'inter': 1 if own else None, 'spinning': False if own else None},
        'affinity': None, 'load_s': None, 'first_inference_ms': None, 'peak_rss_mb': None, 'peak_gpu_mb': None,
        'cold': [],
    }


def now_utc() -> str:
    """The present in UTC, to the second."""
    return datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


def tool_version() -> str | None:
    """Version of this package, if it is installed."""
    try:
        return version('allegro_bench')
    except PackageNotFoundError:
        return None
