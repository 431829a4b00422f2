"""Small random-weights bundles for tests: complete and honest about being untrained."""

import contextlib
import copy
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from allegro_ai.bundle import Bundle, check_contents
from allegro_ai.contents import read_contents
from allegro_ai.contract import METADATA
from allegro_ai.export import amended, linear_contract, write_bundle
from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import INPUTS, LinearLayout, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_description.model import HandModel, load_hand
from onnx import TensorProto, helper, numpy_helper

from allegro_ai import golden, integrity, ood

PROVENANCE = {
    'simulator': 'none', 'env': 'none', 'commit': 'unknown', 'steps': 0, 'seed': 0, 'wall_s': 0.0, 'cpu': 'none',
    'randomisation': 'train.yaml', 'touch_used': True,
}


def random_weights(model: HandModel, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.3, LinearLayout(model).size)


def write_random_bundle(folder: Path, model: HandModel | None = None, seed: int = 0, **contract: Any) -> Bundle:
    model = load_hand() if model is None else model
    weights = random_weights(model, seed)
    observations = golden.random_observations(model, ObservationSpec(), 64, 1, seed)
    samples = golden.random_observations(model, ObservationSpec(), 200, 4, seed + 1)
    joined = {name: np.concatenate([o[name] for o in samples]) for name in samples[0]}
    document = linear_contract(
        model, name='random_linear', version='0.0.1', provenance=PROVENANCE, headline=None,
        start_pose=model.pose('home'), **contract)
    return write_bundle(
        folder, model, document, build_linear_onnx(model, weights),
        golden_arrays=golden.record(LinearPolicy(model, weights), observations, INPUTS),
        ood_arrays=ood.fit(joined),
        evaluation={'status': 'not evaluated', 'reason': 'random weights, for tests'},
        train={'method': 'none'},
    )


@functools.cache
def _sound() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return read_contents(write_random_bundle(Path(folder) / 'random_linear').path)


def sound_files() -> dict[str, bytes]:
    """Files of a random linear bundle, in memory; a copy that may be changed."""
    return dict(_sound())


def bundle_of(files: dict[str, bytes], model: HandModel | None = None) -> Bundle:
    """Check files as a loader would."""
    return check_contents(files, Path('bundle'), load_hand() if model is None else model)


def changed(change: Any, files: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Files whose contract was changed and everything else made to fit, as an export would."""
    return amended(sound_files() if files is None else files, change)


SLIP = {'name': 'slip_probability', 'kind': 'probability/slip', 'unit': '1', 'shape': [1], 'elements': ['object'],
        'range': [0, 1], 'definition': 'the object slips within 0.1 s', 'threshold': 0.5}


def recurrent_graph(seed: int = 0) -> onnx.ModelProto:
    """``h1 = tanh(error + 0.5 h)``, ``action = tanh(h1 W)`` and a second output ``slip_probability``."""
    rng = np.random.default_rng(seed)
    weights = {'half': np.float32(0.5), 'w': rng.normal(0, 0.3, (16, 16)), 'v': rng.normal(0, 0.3, (16, 1))}
    steps = (('Mul', 'h half', 'hh'), ('Add', 'joint_target_error hh', 's'), ('Tanh', 's', 'h1'),
             ('MatMul', 'h1 w', 'a'), ('Tanh', 'a', 'action'), ('MatMul', 'h1 v', 'b'),
             ('Sigmoid', 'b', 'slip_probability'))
    graph = helper.make_graph(
        [helper.make_node(op, inputs.split(), [output], name=output) for op, inputs, output in steps], 'recurrent',
        [helper.make_tensor_value_info('joint_target_error', TensorProto.FLOAT, ['batch', 16]),
         helper.make_tensor_value_info('h', TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info('action', TensorProto.FLOAT, ['batch', 16]),
         helper.make_tensor_value_info('slip_probability', TensorProto.FLOAT, ['batch', 1]),
         helper.make_tensor_value_info('h1', TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in weights.items()])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 17)])


def write_recurrent_bundle(folder: Path) -> Bundle:
    """A bundle with memory, a second output and recorded tolerances."""
    from allegro_ai.backends import BACKENDS
    from allegro_ai.graph import inspect
    model, graph = load_hand(), recurrent_graph()
    document = linear_contract(model, name='random_recurrent', version='0.0.1', headline=None,
                               provenance={**PROVENANCE, 'touch_used': False})
    document['inputs'] = [entry for entry in document['inputs'] if entry['name'] == 'joint_target_error']
    document['runtime']['state'] = [{'name': 'h', 'shape': [1, 16], 'init': 'zeros', 'output': 'h1'}]
    document['extra_outputs'] = [copy.deepcopy(SLIP)]
    document['golden']['tolerances'] = {'onnxruntime/int8_dynamic': 0.05}
    data = graph.SerializeToString()
    policy = GraphPolicy(BACKENDS.load('onnxruntime')(data, inspect(data).spec), ['joint_target_error'], 'action',
                         recurrences=[Recurrence('h', (1, 16), 'h1')], extras=['slip_probability'])
    walks = golden.random_observations(model, ObservationSpec(), 64, 3)
    recorded = [golden.record(policy, [{n: v[k:k + 1] for n, v in step.items()} for step in walks],
                              ['joint_target_error']) for k in range(64)]
    samples = golden.random_observations(model, ObservationSpec(), 200, 4, 1)
    return write_bundle(
        folder, model, document, graph,
        golden_arrays={n: np.concatenate([r[n] for r in recorded]) for n in recorded[0]},
        ood_arrays=ood.fit({name: np.concatenate([o[name] for o in samples]) for name in samples[0]}),
        evaluation={'status': 'not evaluated', 'reason': 'random weights, for tests'}, train={'method': 'none'})


def edit_contract(folder: Path, change: Any) -> None:
    """Change ``policy.yaml`` and mend hashes and metadata, so that only the change itself can be refused."""
    path = folder / integrity.CONTRACT
    document = yaml.safe_load(path.read_text())
    change(document)
    proto = onnx.load(folder / integrity.GRAPH)
    props = {p.key: p.value for p in proto.metadata_props}
    with contextlib.suppress(ValueError):  # NaN has no canonical form; the schema refuses it before hashes are compared
        props[METADATA['contract']] = integrity.contract_hash(document)
    for key in ('name', 'version'):
        value = document.get('bundle', {}).get(key)
        if isinstance(value, str):
            props[METADATA[key]] = value
    onnx.helper.set_model_props(proto, props)
    write_graph(folder, proto, document)


def write_graph(folder: Path, proto: Any, document: Any = None) -> None:
    """Replace the graph and mend the hashes."""
    path = folder / integrity.CONTRACT
    document = yaml.safe_load(path.read_text()) if document is None else document
    (folder / integrity.GRAPH).write_bytes(proto.SerializeToString())
    mend(folder, document)


def mend(folder: Path, document: Any = None) -> None:
    """Make all hashes fit what lies in the folder."""
    path = folder / integrity.CONTRACT
    document = yaml.safe_load(path.read_text()) if document is None else document
    if isinstance(document, dict) and isinstance(document.get('integrity'), dict) and 'files' in document['integrity']:
        names = [n for n in integrity.list_files(folder) if n not in (integrity.CONTRACT, integrity.SUMS)]
        document['integrity']['files'] = {n: integrity.sha256((folder / n).read_bytes()) for n in names}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    integrity.write_sums(folder)
