"""What is measured, all of it but the backend: policy, observations, rate, deadline; frozen and hashed before a run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from allegro_ai.bundle import Bundle, available_bundles, find_bundle, load_bundle
from allegro_ai.workloads import RUNGS
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel, load_hand

from allegro_bench.load import ON_OVERRUN
from allegro_bench.running.profiles import SEEDS

SYNTHETIC = 'synthetic'


@dataclass(frozen=True, slots=True)
class Workload:
    """What a measuring process is told about the workload.

    Attributes:
        name: bundle name and version, or the rung.
        path: folder or archive of the bundle.
        model, side: the hand.
        rate_hz: control rate.
        deadline_ms: D.
        on_overrun: ``skip`` or ``queue``.
        whole: the step is the deployed loop, from measured arrays to joint targets; otherwise it is the policy's
            ``act`` on observations that lie ready (benchmark networks have nothing else).
        source: ``synthetic``, or a file of recorded observations.
        seeds: of synthetic observations.
        ready: folder with the synthetic observations of every seed, made elsewhere; '' makes them here.
    """

    name: str
    path: str
    model: str
    side: str
    rate_hz: float
    deadline_ms: float
    on_overrun: str = 'skip'
    whole: bool = True
    source: str = SYNTHETIC
    seeds: tuple[int, ...] = SEEDS
    ready: str = ''

    @property
    def period_ns(self) -> int:
        """T, ns."""
        return round(1e9 / self.rate_hz)

    @property
    def deadline_ns(self) -> int:
        """D, ns."""
        return round(self.deadline_ms * 1e6)

    @property
    def hand(self) -> HandModel:
        """The hand of the workload."""
        return load_hand(self.model, self.side)

    def as_dict(self) -> dict[str, Any]:
        """As it is sent to a measuring process."""
        return asdict(self) | {'seeds': list(self.seeds)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Workload:
        """The opposite of :meth:`as_dict`."""
        return cls(**{**values, 'seeds': tuple(values['seeds'])})


def is_rung(name: str) -> bool:
    """Whether a name means a benchmark network and not a bundle."""
    return name in RUNGS


def checked_name(name: str) -> str:
    """A policy as the user named it, if there is such a one.

    Raises:
        UnknownName: neither a bundle nor a rung of the ladder.
    """
    if is_rung(name):
        return name
    try:
        find_bundle(name)
    except UnknownName:
        raise UnknownName('policy', name, (*available_bundles(), *RUNGS),
                          'Or give the path of a bundle.') from None
    return name


def workload(bundle: Bundle, name: str, *, rate_hz: float | None = None, deadline_ms: float | None = None,
             on_overrun: str = 'skip', bare: bool = False, source: str = SYNTHETIC,
             ready: str = '') -> Workload:
    """The workload of a bundle.

    Args:
        bundle: what runs.
        name: how it is called in results.
        rate_hz: control rate; default: the bundle's.
        deadline_ms: D; default: one period.
        on_overrun: see :data:`allegro_bench.load.ON_OVERRUN`.
        bare: leave out what is before and after ``act``.
        source: ``synthetic``, or a file of recorded observations.
        ready: see :class:`Workload`.

    Raises:
        ConfigError: a rate outside 1 … 2000 Hz, a deadline that is not positive, or another way of overrun.
    """
    rate = 1.0 / bundle.period_s if rate_hz is None else rate_hz
    if not 1 <= rate <= 2000:
        raise ConfigError(f'--rate-hz is {rate:g}; allowed: 1 to 2000')
    deadline = 1e3 / rate if deadline_ms is None else deadline_ms
    if not 0 < deadline <= 1e5:
        raise ConfigError(f'--deadline-ms is {deadline:g}; allowed: above 0, at most 100000')
    if on_overrun not in ON_OVERRUN:
        raise ConfigError(f'--on-overrun is {on_overrun!r}; allowed: {", ".join(ON_OVERRUN)}')
    model, _, side = bundle.model.name.rpartition('_')
    return Workload(name, str(bundle.path), model, side, rate, deadline, on_overrun,
                    whole=not (bare or bundle.workload), source=source, ready=ready)


def load(chosen: Workload) -> Bundle:
    """The bundle of a workload, checked.

    Raises:
        BundleError: it does not pass.
    """
    return load_bundle(chosen.path, chosen.hand)


def section(chosen: Workload, bundle: Bundle) -> dict[str, Any]:
    """The section ``workload`` of a result; ``hash`` covers everything in it but the name, and no backend."""
    contract = bundle.contract
    graph = hashlib.sha256(bundle.graph).hexdigest()
    found: dict[str, Any] = {
        'policy': {
            'name': bundle.name,
            # The golden outputs of a benchmark network differ in the last bits between machines; its graph does not.
            'sha256': graph if bundle.workload else bundle.fingerprint,
            'params': bundle.report.parameters,
            'framework': 'onnx',
            'checkpoint_uri': None,
        },
        'obs_spec': [{'name': e['name'], 'shape': list(e['shape']), 'dtype': 'float32', 'rate_hz': chosen.rate_hz}
                     for e in contract['inputs']],
        'action_spec': {'shape': list(contract['output']['shape']), 'dtype': 'float32',
                        'joint_names': [] if bundle.workload else list(bundle.model.joint_names)},
        'control_rate_hz': chosen.rate_hz,
        'deadline_ms': chosen.deadline_ms,
        'policy_on_overrun': chosen.on_overrun,
        'includes': {'preprocess': chosen.whole, 'postprocess': chosen.whole, 'ros_transport': False},
        'source': {'kind': 'synthetic' if chosen.source == SYNTHETIC else 'bag',
                   'sha256': None if chosen.source == SYNTHETIC else _file_hash(chosen.source)},
        'seeds': list(chosen.seeds) if chosen.source == SYNTHETIC else [],
    }
    words = json.dumps(found, sort_keys=True, ensure_ascii=True, separators=(',', ':')).encode()
    return {'name': chosen.name, 'hash': hashlib.sha256(words).hexdigest(), **found}


def _file_hash(path: str | os.PathLike[str]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
