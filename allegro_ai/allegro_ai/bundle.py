"""Policy bundles: one folder with everything that a policy presumes, checked before it may move a finger.

Layout, in a folder or packed as ``.tar.zst``; ``policies/policy.schema.json`` describes ``policy.yaml`` field by
field::

    policy.yaml      the contract          golden.npz   inputs with expected outputs, replayed at every load
    policy.onnx      the graph             ood.npz      statistics of the training observations
    train.yaml       how it was trained    eval/*.json  what was measured
    MODEL_CARD.md  LICENSE  SHA256SUMS  and, if signed, SHA256SUMS.minisig

Loading refuses with one sentence: missing, unknown or wrong fields, altered files, another hand, other gains, graphs
with anything but plain operators and finite weights, and outputs that differ from the golden vectors. No pickles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import MissingDependency, UnknownName
from allegro_description.model import HandModel
from allegro_description.share import share_dir
from numpy.typing import NDArray

from allegro_ai import contents, golden, integrity
from allegro_ai.action import ActionMapper
from allegro_ai.backends import BACKENDS, split_name
from allegro_ai.contract import Contract, check_graph, check_hand, check_itself, golden_tolerance, is_workload
from allegro_ai.grasp import GraspController, GraspSpec
from allegro_ai.observation import ObservationBuilder, ObservationSpec, terms
from allegro_ai.ood import OodModel
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_ai.schema import contract_schema, validate
from allegro_ai.signing import PublicKey, Verdict, verify
from allegro_ai.untrusted import parse_arrays, parse_yaml

if TYPE_CHECKING:
    from allegro_ai.graph import GraphReport


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle that passed every static check for one hand. Build it with :func:`load_bundle`.

    Attributes:
        path: its folder or archive.
        contract: the parsed ``policy.yaml``.
        model: the hand it was checked against.
        graph: bytes of ``policy.onnx``.
        report: what was found in the graph.
        files: all its files, as they were checked.
        signature: who signed it, as far as is known.
    """

    path: Path
    contract: Contract
    model: HandModel
    graph: bytes
    report: GraphReport
    files: contents.Contents
    signature: Verdict

    @property
    def name(self) -> str:
        """Name and version, e.g. ``tactile_hold_linear-0.1.0``."""
        return f'{self.contract["bundle"]["name"]}-{self.contract["bundle"]["version"]}'

    @property
    def fingerprint(self) -> str:
        """Hash of all its files; see :func:`allegro_ai.integrity.fingerprint`."""
        return integrity.fingerprint(self.files)

    @property
    def workload(self) -> bool:
        """Whether it is a benchmark with random weights that may never move a hand."""
        return is_workload(self.contract)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Observation terms that the graph takes, in order."""
        return tuple(entry['name'] for entry in self.contract['inputs'])

    @property
    def period_s(self) -> float:
        """Control period, s."""
        return 1.0 / float(self.contract['runtime']['rate_hz'])

    @property
    def touch_required(self) -> bool:
        """Whether it may not run without touch."""
        return any(e['required'] for e in self.contract['inputs'] if e['name'].startswith('tactile'))

    @cached_property
    def observation_spec(self) -> ObservationSpec:
        """Numbers of the derived touch terms."""
        return from_mapping(ObservationSpec, self.contract['observation'])

    @cached_property
    def grasp_spec(self) -> GraspSpec:
        """Numbers of the phases around the policy."""
        close = {k: v for k, v in self.contract['grasp'].items() if k != 'opposed_pose'}
        return from_mapping(GraspSpec, {**close, 'start_ramp_s': self.contract['safety']['start_ramp_s']})

    def builder(self, batch: int = 1) -> ObservationBuilder:
        """An observation builder with the numbers of the bundle."""
        return ObservationBuilder(self.model, self.observation_spec, batch)

    def controller(self, batch: int = 1) -> GraspController:
        """A grasp controller with the numbers of the bundle."""
        mapper = ActionMapper.of(self.model, self.contract['action'])
        return GraspController(
            self.model, mapper, self.grasp_spec, start_pose=np.array(self.contract['safety']['start_pose']),
            opposed_pose=np.array(self.contract['grasp']['opposed_pose']), batch=batch)

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Arrays of one of its ``.npz`` files."""
        return parse_arrays(contents.file_of(self.files, name, str(self.path)), name)

    def ood(self) -> OodModel:
        """The out-of-distribution score."""
        sizes = {name: len(term.elements) for name, term in terms(self.model).items()}
        return OodModel(self.arrays(self.contract['ood']['file']), sizes)

    def policy(self, backend: str = 'onnxruntime', precision: str = 'fp32') -> GraphPolicy:
        """Load the graph into an inference backend, in a precision, and replay the golden vectors.

        ``policy('openvino/bf16')`` is the same as ``policy('openvino', 'bf16')``.

        Backends that do not compute the graph (``null``) are not checked; ``policy.backend.faithful`` says so.

        Raises:
            BundleError: the golden vectors differ, no tolerance was recorded for this precision, or the backend
                cannot run the graph.
            UnknownPlugin: no such backend.
            MissingDependency: the backend needs a package that is absent.
        """
        if '/' in backend:
            backend, precision = split_name(backend)
        tolerance = golden_tolerance(self.contract, backend, precision)
        policy = self.unchecked(backend, precision)
        if policy.backend.faithful:
            golden.check(policy, self.arrays(self.contract['golden']['file']), self.inputs, tolerance,
                         extras=policy.extras, minimum=golden.MINIMUM_WORKLOAD if self.workload else golden.MINIMUM)
        return policy

    def unchecked(self, backend: str, precision: str = 'fp32') -> GraphPolicy:
        """As :meth:`policy`, without the golden vectors: to measure how far a backend is off, never to run a hand."""
        runtime = self.contract['runtime']
        recurrences = [Recurrence(s['name'], tuple(s['shape']), s['output']) for s in runtime['state']]
        load, graph = BACKENDS.load(backend), self.graph
        if precision in getattr(load, 'precisions', ()) and precision.startswith('int8'):
            from allegro_ai.backends.precision import graph_of
            graph = graph_of(self, precision)
        converted = {} if precision == 'fp32' else {'precision': precision}
        engine = load(graph, self.report.spec, **converted)
        return GraphPolicy(engine, self.inputs, self.contract['output']['name'], stack=runtime['history']['steps'],
                           recurrences=recurrences,
                           extras=[entry['name'] for entry in self.contract.get('extra_outputs', ())], graph=graph)


def available_bundles() -> tuple[str, ...]:
    """Names of the bundles that come with the suite."""
    folder = share_dir('allegro_ai') / 'policies'
    return tuple(sorted(p.parent.name for p in folder.glob(f'*/{integrity.CONTRACT}')))


def find_bundle(name_or_path: str | os.PathLike[str]) -> Path:
    """Where a bundle lies: the path of a folder or archive, or the name of a shipped one.

    Raises:
        UnknownName: neither; the message lists the shipped bundles.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir() or (path.name.endswith(contents.ARCHIVE) and path.is_file()):
        return path
    shipped = share_dir('allegro_ai') / 'policies' / str(name_or_path)
    if os.sep not in str(name_or_path) and (shipped / integrity.CONTRACT).is_file():
        return shipped
    raise UnknownName('policy bundle', str(name_or_path), available_bundles(),
                      f'Or give the path of a folder or {contents.ARCHIVE}.')


def load_bundle(
    name_or_path: str | os.PathLike[str],
    model: HandModel,
    *,
    trusted: tuple[PublicKey, ...] = (),
    require_signature: bool = False,
) -> Bundle:
    """Read a bundle and check everything that needs no inference; :meth:`Bundle.policy` checks the rest.

    Args:
        name_or_path: folder, ``.tar.zst``, or the name of a shipped bundle.
        model: the hand it shall run on.
        trusted: keys whose signatures count, see :func:`allegro_ai.signing.settings`.
        require_signature: refuse a bundle that none of them signed.

    Raises:
        BundleError: anything does not fit; the message names the field or file and the remedy.
        UnknownName: there is no such bundle.
        MissingDependency: a package that reads the graph, the archive or the signature is absent.
    """
    path = find_bundle(name_or_path)
    return check_contents(contents.read_contents(path), path, model, trusted=trusted,
                          require_signature=require_signature)


def check_contents(
    files: contents.Contents,
    path: Path,
    model: HandModel,
    *,
    trusted: tuple[PublicKey, ...] = (),
    require_signature: bool = False,
) -> Bundle:
    """As :func:`load_bundle`, for files that were read already; ``path`` says where, for messages."""
    contract, verdict = check_files(files, str(path), trusted=trusted, require_signature=require_signature)
    check_hand(contract, model)
    graph = contents.file_of(files, contents.GRAPH, str(path))
    report = inspect_graph(graph)
    check_graph(contract, report, integrity.contract_hash(contract))
    bundle = Bundle(path, contract, model, graph, report, files, verdict)
    if not bundle.workload:
        bundle.ood()
    return bundle


def check_files(
    files: contents.Contents, where: str, *, trusted: tuple[PublicKey, ...] = (), require_signature: bool = False,
) -> tuple[Contract, Verdict]:
    """Are all files there and unaltered, who signed them, and is ``policy.yaml`` a contract that fits itself?

    Raises:
        BundleError: the first thing that is wrong.
        MissingDependency: a signature is required and cannot be verified here.
    """
    integrity.check_sums(files, where)
    verdict = verify(files, trusted, where, require=require_signature)
    contract = parse_yaml(files[contents.CONTRACT], contents.CONTRACT)
    validate(contract, contract_schema(), contents.CONTRACT)
    integrity.check_declared(files, contract['integrity']['files'], where)
    check_itself(contract)
    return contract, verdict


def inspect_graph(graph: bytes) -> GraphReport:
    """:func:`allegro_ai.graph.inspect`, with a clear sentence when the ``onnx`` package is absent."""
    try:
        from allegro_ai.graph import inspect
    except ImportError as error:
        raise MissingDependency(f"reading policy.onnx needs the package onnx ({error}). Install it with: "
                                "pip install 'allegro_ai[onnx]'") from error
    return inspect(graph)
