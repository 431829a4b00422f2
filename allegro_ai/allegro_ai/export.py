"""Write policy bundles: the contract, the graph with its metadata, golden vectors, statistics, card and hashes."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai import contents, golden, integrity, ood
from allegro_ai.action import ActionMapper
from allegro_ai.archive import write_folder
from allegro_ai.bundle import Bundle, check_contents, load_bundle
from allegro_ai.card import model_card
from allegro_ai.contract import METADATA
from allegro_ai.graph import GraphReport, inspect
from allegro_ai.grasp import GraspSpec
from allegro_ai.linear_graph import OPSET
from allegro_ai.linear_policy import INPUTS
from allegro_ai.observation import ObservationSpec, terms
from allegro_ai.schema import contract_schema, validate
from allegro_ai.untrusted import parse_json, parse_yaml

LICENCE_NOTICE = """Apache-2.0

This policy bundle is licensed under the Apache License, Version 2.0. You may obtain a copy of the licence at
https://www.apache.org/licenses/LICENSE-2.0. The bundle is provided as it is, without warranty of any kind.
"""

NOT_VALIDATED = 'not validated on hardware'


def policy_contract(
    model: HandModel,
    *,
    inputs: Sequence[str],
    steps: int,
    normalisation: str,
    states: Sequence[Mapping[str, Any]] = (),
    **shared: Any,
) -> dict[str, Any]:
    """The contract of a policy of the suite's own action, over a stack of its own terms, without ``integrity``.

    Args:
        model: the hand it was trained for.
        inputs: observation terms, in the order of the graph inputs.
        steps: observations in a stack, oldest first; 1: no stack.
        normalisation: how they are scaled inside the graph, in words.
        states: recurrent states of the graph, entries of ``runtime.state``.
        shared: as :func:`linear_contract`.
    """
    document = linear_contract(model, **shared)
    document['inputs'] = [term_entry(model, term) for term in inputs]
    if steps > 1:
        document['runtime']['history'] = {'kind': 'stack', 'steps': steps}
    document['runtime']['state'] = [dict(state) for state in states]
    document['normalisation']['method'] = normalisation
    return document


def linear_contract(
    model: HandModel,
    *,
    name: str,
    version: str,
    provenance: Mapping[str, Any],
    headline: Mapping[str, Any] | None,
    sim2real: str = NOT_VALIDATED,
    observation: ObservationSpec | None = None,
    grasp: GraspSpec | None = None,
    start_pose: NDArray[np.float64] | None = None,
    opposed_pose: NDArray[np.float64] | None = None,
    safety: Mapping[str, Any] | None = None,
    rate_hz: float = 50.0,
    tolerance: float = 0.25,
) -> dict[str, Any]:
    """The contract of a finger-shared linear policy, without ``integrity``.

    Args:
        model: the hand it was trained for.
        name: bundle name.
        version: semantic version.
        provenance: see the schema; ``touch_used`` decides whether touch is required knowledge for the card.
        headline: the one number to quote, or None when nothing was evaluated.
        sim2real: what is known about the real hand.
        observation: numbers of the derived touch terms used in training.
        grasp: numbers of the close used in training.
        start_pose: posture before the close; None: the hand's pose ``pregrasp``.
        opposed_pose: where the joints that do not flex go during the close; None: ``start_pose``.
        safety: overrides of the safety section.
        rate_hz: control rate used in training.
        tolerance: relative difference of gains that training covered.
    """
    observation, grasp = observation or ObservationSpec(), grasp or GraspSpec()
    start = model.pose('pregrasp') if start_pose is None else np.asarray(start_pose)
    opposed = start if opposed_pose is None else np.asarray(opposed_pose)
    mapper = ActionMapper(model)
    spec_values = {k: float(getattr(observation, k)) for k in ObservationSpec.__slots__}
    grasp_values = {k: float(getattr(grasp, k)) for k in GraspSpec.__slots__}
    n = len(model.joints)
    return {
        'schema_version': 1,
        'bundle': {'name': name, 'version': version, 'licence': 'Apache-2.0',
                   'created': datetime.now(UTC).strftime('%Y-%m-%d'), 'authors': ['Allegro AI suite maintainers']},
        'hand': {'profile': model.name, 'compatible': [], 'profile_sha256': integrity.hand_fingerprint(model)},
        'joints': list(model.joint_names),
        'runtime': {'rate_hz': rate_hz, 'rate_tolerance': 0.1, 'latency_budget_ms': 5.0, 'opset': OPSET,
                    'providers': ['CPU'], 'history': {'kind': 'none', 'steps': 1}, 'state': []},
        'inputs': [term_entry(model, term) for term in INPUTS],
        'observation': spec_values,
        'timing': {'pairing': 'obs[t+1] with target[t]', 'first_target': 'measured_position'},
        'output': {'name': 'action', 'shape': [n], 'range': [-1, 1], 'elements': 'joints'},
        'action': {'semantics': 'position_offset', 'reference': 'latched_posture', 'scale_rad': mapper.scale.tolist(),
                   'in_graph': ['tanh'], 'in_node': ['clip', 'scale', 'add_reference', 'rate_limit', 'joint_limit'],
                   'rate_limit_rad_s': mapper.rate_limit, 'smoothing': 'none'},
        'grasp': {**{k: v for k, v in grasp_values.items() if k != 'start_ramp_s'}, 'opposed_pose': opposed.tolist()},
        'controller': {'type': 'pd_position', 'kp': model.kp.tolist(), 'kd': model.kd.tolist(),
                       'torque_limit_nm': model.torque_limit.tolist(), 'tolerance': tolerance,
                       'check': 'require_match'},
        'safety': {'start_pose': start.tolist(), 'start_ramp_s': grasp_values['start_ramp_s'], 'stale_ms': 60.0,
                   'on_stale': 'hold', 'relax_after_s': 5.0, 'max_tip_kpa': 100.0, 'ood_warn': 3.0, 'ood_stop': 6.0,
                   'sustain_ticks': 5, **(safety or {})},
        'normalisation': {'location': 'in_graph', 'method': 'squash and fixed scales, see allegro_ai.linear_policy'},
        'golden': {'file': golden.FILE, 'tolerance': 1e-4},
        'ood': {'file': ood.FILE},
        'provenance': dict(provenance),
        'evaluation': {'file': 'eval/closed_loop.json', 'headline': dict(headline) if headline else None,
                       'sim2real': sim2real},
    }


def term_entry(model: HandModel, name: str) -> dict[str, Any]:
    """The entry of ``inputs`` for one observation term of a hand."""
    term = terms(model)[name]
    touch = name.startswith('tactile')
    entry: dict[str, Any] = {
        'name': name, 'kind': term.kind, 'unit': term.unit, 'shape': [len(term.elements)],
        'elements': 'joints' if term.elements == model.joint_names else list(term.elements),
        'source': term.source, 'definition': term.definition,
        'required': not touch, 'on_missing': 'mask' if touch else 'stop',
    }
    if touch:
        entry.update(mask='tactile_valid', max_age_ms=60.0)
    return entry


def write_bundle(
    folder: Path,
    model: HandModel,
    contract: Mapping[str, Any],
    graph: onnx.ModelProto,
    *,
    golden_arrays: Mapping[str, NDArray[Any]],
    ood_arrays: Mapping[str, NDArray[Any]] | None,
    evaluation: Mapping[str, Any],
    train: Mapping[str, Any],
    licence: str = LICENCE_NOTICE,
    replace: bool = False,
) -> Bundle:
    """Make a complete bundle, check it as a loader would, replay its golden vectors, and only then put it in place.

    Args:
        folder: where it shall lie.
        model: the hand.
        contract: ``policy.yaml`` without ``integrity``.
        graph: the policy.
        golden_arrays: see :func:`allegro_ai.golden.record`.
        ood_arrays: see :func:`allegro_ai.ood.fit`; None: none, for a workload.
        evaluation: results, written to ``evaluation.file`` and rendered into the card.
        train: full training configuration, written to ``train.yaml``.
        licence: text of ``LICENSE``.
        replace: whether an existing bundle may be replaced.

    Raises:
        BundleError: the folder exists, or what was written does not pass the loader.
    """
    folder = Path(folder)
    if folder.exists() and not replace:
        raise BundleError(f'{folder} exists; choose another version or say that it may be replaced')
    document: dict[str, Any] = yaml.safe_load(to_yaml({k: v for k, v in contract.items() if k != 'integrity'}))
    data = _stamped(graph, document)
    results = json.loads(json.dumps(_plain(evaluation), allow_nan=False))
    validate({**document, 'integrity': {'files': {contents.GRAPH: '0' * 64}}}, contract_schema(), 'contract')
    files = {
        contents.CONTRACT: to_yaml(document).encode(),
        contents.GRAPH: data,
        document['evaluation']['file']: (json.dumps(results, indent=1) + '\n').encode(),
        document['provenance']['randomisation']: to_yaml(train).encode(),
        contents.CARD: model_card(document, results, graph_facts(inspect(data), len(data))).encode(),
        'LICENSE': licence.encode(),
        golden.FILE: to_npz(golden_arrays),
    }
    if ood_arrays is not None:
        files[ood.FILE] = to_npz(ood_arrays)
    files = integrity.renewed(files, to_yaml)
    check_contents(files, folder, model).policy()
    if folder.exists():
        shutil.rmtree(folder)
    write_folder(files, folder)
    return load_bundle(folder, model)


def amended(files: contents.Contents, change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """The files of a bundle with another contract: the graph is stamped for it, card and hashes are made again.

    Args:
        files: a complete bundle; a signature is dropped.
        change: changes the document of ``policy.yaml`` in place, e.g. adds measured ``golden.tolerances``.
    """
    document = parse_yaml(files[contents.CONTRACT], contents.CONTRACT)
    document.pop('integrity', None)
    change(document)
    data = _stamped(onnx.load_model_from_string(files[contents.GRAPH]), document)
    name = document['evaluation']['file']
    card = model_card(document, parse_json(files[name], name), graph_facts(inspect(data), len(data)))
    return integrity.renewed({**files, contents.CONTRACT: to_yaml(document).encode(), contents.GRAPH: data,
                              contents.CARD: card.encode()}, to_yaml)


def graph_facts(report: GraphReport, size: int) -> dict[str, Any]:
    """What the card says about a graph of ``size`` bytes."""
    return {'parameters': report.parameters, 'operators': dict(report.operators), 'bytes': size, 'macs': report.macs}


def to_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes of a compressed ``.npz`` without pickles."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def _stamped(graph: onnx.ModelProto, document: Mapping[str, Any]) -> bytes:
    """The graph with metadata that ties it to its contract."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph)
    values = {METADATA['name']: document['bundle']['name'], METADATA['version']: document['bundle']['version'],
              METADATA['schema']: str(document['schema_version']),
              METADATA['contract']: integrity.contract_hash(document)}
    kept = {p.key: p.value for p in graph.metadata_props}
    onnx.helper.set_model_props(proto, {**kept, **values})
    return bytes(proto.SerializeToString())


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as plain values."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


class _Dumper(yaml.SafeDumper):
    """Writes every value out, because the loader refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(document: Mapping[str, Any]) -> str:
    """Text of ``policy.yaml`` or ``train.yaml``."""
    return str(yaml.dump(_plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
