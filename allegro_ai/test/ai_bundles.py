"""Small random-weights bundles for tests: complete and honest about being untrained."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from allegro_ai.bundle import Bundle
from allegro_ai.contract import METADATA
from allegro_ai.export import linear_contract, write_bundle
from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import INPUTS, LinearLayout, LinearPolicy
from allegro_ai.observation import ObservationSpec
from allegro_description.model import HandModel, load_hand

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


def edit_contract(folder: Path, change: Any) -> None:
    """Change ``policy.yaml`` and mend hashes and metadata, so that only the change itself can be refused."""
    import onnx

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
