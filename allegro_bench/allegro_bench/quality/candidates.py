"""What is judged: one graph in one engine with the response times of its own measurement, tied together by hashes.

A candidate comes from a result only: its graph is made again from the policy and has to have the hash of the graph
that was timed, in the same plug-in, version and precision. There is no way to name another one, so a backend cannot
be fast with one graph and accurate with another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from allegro_ai.backends.precision import graph_of
from allegro_ai.bundle import Bundle
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_description.errors import AllegroError, ConfigError

from allegro_bench.quality.delay import Limit, Trace
from allegro_bench.results import blocks
from allegro_bench.results.document import ticks_of
from allegro_bench.running.engines import Engine, engine

REFERENCE = Engine('onnxruntime', 'fp32')
"""What every candidate is compared with: the graph as exported, deciding without delay, as it was trained."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One row of the gate.

    Attributes:
        name: of the backend in the result.
        engine: plug-in and precision.
        graph: bytes that the engine loads.
        sha256: their hash, hexadecimal; whoever loads them checks it.
        trace: its response times.
        on_overrun: ``skip`` or ``queue``.
        period_ns: T, ns.
        source: where the times come from, in words.
        limit: when the policy's loop gives up; None: never.
        planted: made to fail, by code; never written into a result.
    """

    name: str
    engine: Engine
    graph: bytes = field(repr=False)
    sha256: str
    trace: Trace = field(repr=False)
    on_overrun: str
    period_ns: int
    source: str
    limit: Limit | None = None
    planted: bool = False

    def policies(self, bundle: Bundle, count: int) -> list[GraphPolicy]:
        """So many policies with a memory of their own on one engine, as a robot runs it: one observation per call.

        Raises:
            ConfigError: the graph is not the one that the hash belongs to.
            AllegroError: the engine cannot load it.
        """
        if hashlib.sha256(self.graph).hexdigest() != self.sha256:
            raise ConfigError(f'{self.name}: this is not the graph that was measured; its SHA-256 differs')
        precision = self.engine.precision
        kind = self.engine.load()
        try:
            loaded = kind(self.graph, bundle.report.spec, **({} if precision == 'fp32' else {'precision': precision}))
        except AllegroError:
            raise
        except Exception as error:  # a plug-in of somebody else throws what it likes
            raise AllegroError(f'{self.name} cannot load the graph: {type(error).__name__}: {error}') from error
        runtime = bundle.contract['runtime']
        states = [Recurrence(s['name'], tuple(s['shape']), s['output']) for s in runtime['state']]
        return [GraphPolicy(loaded, bundle.inputs, bundle.contract['output']['name'],
                            stack=runtime['history']['steps'], recurrences=states) for _ in range(count)]

    def altered(self, name: str, *, graph: bytes | None = None, extra_ns: int = 0) -> Candidate:
        """A planted variant: with another graph, or with every inference so much longer."""
        data = self.graph if graph is None else graph
        words = f'{self.source}, {extra_ns / 1e6:+g} ms' if extra_ns else self.source
        return replace(self, name=name, graph=data, sha256=hashlib.sha256(data).hexdigest(),
                       trace=self.trace.slower(extra_ns), source=words, planted=True)


def limit_of(bundle: Bundle) -> Limit:
    """When the loop of a policy gives up, as its contract says."""
    return Limit(round(float(bundle.contract['runtime']['latency_budget_ms']) * 1e6),
                 int(bundle.contract['safety']['sustain_ticks']))


def reference(bundle: Bundle, period_ns: int) -> Candidate:
    """The graph as exported, in ONNX Runtime, without any delay."""
    return Candidate(f'{REFERENCE.name}, no delay', REFERENCE, bundle.graph,
                     hashlib.sha256(bundle.graph).hexdigest(), Trace.constant(0), 'skip', period_ns, 'no delay')


def candidate(document: Mapping[str, Any], folder: Path, name: str, bundle: Bundle) -> Candidate:
    """A measured backend of a result.

    Args:
        document: the result.
        folder: where its ticks lie.
        name: of the backend.
        bundle: the policy that was measured.

    Raises:
        ConfigError: it was not measured, or what was measured cannot be had here: another graph, another version.
        AllegroError: the engine is absent.
    """
    entry = next((b for b in document['backends'] if b['name'] == name), None)
    mine = [b for b in blocks.of(document, name) if b['n_completed'] and not b.get('error')]
    if entry is None or not mine:
        raise ConfigError(f'{name} has no complete measured block in this result; measure it first')
    if not entry.get('faithful', True):
        raise ConfigError(f'{name} does not compute the policy, so there is nothing to judge')
    found = engine(f'{entry["plugin"]}/{entry["precision"]}')
    found.load()
    if found.version != entry['version']:
        raise ConfigError(f'{name} was measured in version {entry["version"]}, here is {found.version}: judge it '
                          'where it was measured, or measure again')
    graph = graph_of(bundle, found.precision) if found.precision.startswith('int8') else bundle.graph
    sha256 = hashlib.sha256(graph).hexdigest()
    if sha256 != entry['artifact_sha256']:
        raise ConfigError(f'{name}: the graph made here (SHA-256 {sha256[:12]}…) is not the one that was measured '
                          f'({str(entry["artifact_sha256"])[:12]}…); judge it where it was measured, or measure again')
    workload = document['workload']
    trace = Trace.of([ticks_of(folder, b) for b in mine])
    return Candidate(name, found, graph, sha256, trace, workload['policy_on_overrun'],
                     blocks.period_ns(workload), f'{len(trace)} inferences in {len(mine)} blocks of this result',
                     limit_of(bundle))


def measured(document: Mapping[str, Any], bundle: Bundle) -> list[str]:
    """Names of the backends of a result, after checking that it is a result of this policy that can be judged.

    Raises:
        ConfigError: a result of another policy, of a benchmark network, or at another rate than the task's.
    """
    from allegro_ai.tasks.lanes import CONTROL_S

    workload = document['workload']
    stated = workload['policy']['sha256']
    if bundle.workload:
        raise ConfigError(f'{bundle.name} is a benchmark network with random weights: it has no grasp to judge')
    if stated != bundle.fingerprint:
        raise ConfigError(f'this result measured {workload["policy"]["name"]} with SHA-256 {stated[:12]}…, and '
                          f'{bundle.path} has {bundle.fingerprint[:12]}…: give the policy that was measured')
    if blocks.period_ns(workload) != round(CONTROL_S * 1e9):
        raise ConfigError(f'this result was measured at {workload["control_rate_hz"]:g} Hz; TactileHold is controlled '
                          f'at {1 / CONTROL_S:g} Hz, so measure at that rate')
    return blocks.backends(document)


def why_not(error: AllegroError) -> str:
    """An error as the detail of a row."""
    return ' '.join(str(error).split())
