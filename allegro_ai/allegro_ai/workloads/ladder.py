"""Rungs of the ladder as bundles of kind ``workload``: everything that a policy has, but no claim to grasp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.model import HandModel

from allegro_ai import golden
from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import Bundle
from allegro_ai.export import linear_contract, write_bundle
from allegro_ai.graph import GraphReport, inspect
from allegro_ai.policy import GraphPolicy, Recurrence
from allegro_ai.workloads import RUNGS, build
from allegro_ai.workloads.weaving import OPSET

STATES = {'h': 'h_next', 'c': 'c_next'}
"""Recurrent inputs and the outputs that feed them."""

SEQUENCES, STEPS = 64, 4
"""Golden sequences of small networks: 256 observations, enough to calibrate 8-bit ranges on."""
HEAVY_MACS = 10_000_000
"""Above this, ``golden.MINIMUM_WORKLOAD`` sequences of one step have to do."""

TOLERANCES = {
    'onnxruntime/int8_dynamic': 0.2, 'onnxruntime/int8_static': 0.2, 'openvino/int8_static': 0.2,
    'openvino/bf16': 0.1, 'torch/bf16': 0.1,
}
"""Largest difference of an output within ±1. Random weights amplify errors that trained ones do not; a backend that
exceeds it is refused, and `allegro-ai backends BUNDLE` prints what it really is."""

UNTRAINED = 'never: random weights, for timing only'


def write_workload(name: str, folder: Path, hand: HandModel, seed: int = 0, *, replace: bool = False) -> Bundle:
    """Make the bundle of one rung.

    On one machine the same seed gives the same bytes; on another one the golden outputs may differ in the last bits.

    Raises:
        UnknownName: no such rung.
        BundleError: the folder exists, or what was written does not pass the loader.
    """
    proto = build(name, seed)
    model = proto.SerializeToString()
    report, rung = inspect(model), RUNGS[name]
    contract = linear_contract(
        hand, name=f'workload_{name.lower()}', version='1.0.0', headline=None, sim2real=UNTRAINED,
        rate_hz=rung.rate_hz, provenance={
            'simulator': 'none', 'env': 'none', 'commit': 'none', 'steps': 0, 'seed': seed, 'wall_s': 0.0,
            'cpu': 'none', 'randomisation': 'train.yaml', 'touch_used': False})
    output = list(report.spec.outputs['action'][1:])
    inputs = [n for n in report.spec.inputs if n not in STATES]
    states = [n for n in report.spec.inputs if n in STATES]
    contract['bundle']['created'] = '2026-11-24'  # fixed, so that the bytes are
    contract |= {
        'kind': 'workload',
        'inputs': [_input(n, report) for n in inputs],
        'output': {'name': 'action', 'shape': output, 'range': [-1, 1], 'elements': 'joints'},
        'normalisation': {'location': 'in_graph', 'method': 'none: random weights'},
        'golden': {'file': golden.FILE, 'tolerance': 1e-4, 'tolerances': TOLERANCES},
    }
    contract['runtime'] |= {
        'opset': OPSET, 'latency_budget_ms': 1000.0 / rung.rate_hz,
        'state': [{'name': n, 'shape': list(report.spec.inputs[n]), 'init': 'zeros', 'output': STATES[n]}
                  for n in states]}
    return write_bundle(
        folder, hand, contract, proto, golden_arrays=_golden(model, report, inputs, states, seed), ood_arrays=None,
        evaluation={'status': 'not evaluated', 'reason': UNTRAINED}, replace=replace,
        train={'method': 'none', 'seed': seed, 'rung': name, 'title': rung.title, 'shape of': rung.source,
               'published': {'parameters': rung.parameters, 'macs': rung.macs},
               'counted': {'parameters': report.parameters, 'macs': report.macs}})


def _input(name: str, report: GraphReport) -> dict[str, Any]:
    shape = list(report.spec.inputs[name][1:])
    return {'name': name, 'kind': f'workload/{name}', 'unit': '1', 'shape': shape, 'elements': [], 'source': 'derived',
            'definition': 'random numbers', 'required': True, 'on_missing': 'stop'}


def _golden(model: bytes, report: GraphReport, inputs: list[str], states: list[str], seed: int) -> dict[str, Any]:
    light = report.macs < HEAVY_MACS
    sequences, steps = (SEQUENCES, STEPS) if light else (golden.MINIMUM_WORKLOAD, 1)
    rng = np.random.default_rng(seed)
    shapes = {n: tuple(int(d or 1) for d in report.spec.inputs[n][1:]) for n in inputs}
    drawn = {n: rng.standard_normal((sequences, steps, *s)).astype(np.float32) for n, s in shapes.items()}
    policy = GraphPolicy(
        BACKENDS.load('onnxruntime')(model, report.spec), inputs, 'action',
        recurrences=[Recurrence(n, tuple(int(d or 1) for d in report.spec.inputs[n]), STATES[n]) for n in states])
    outputs = []
    for k in range(sequences):
        policy.reset()
        outputs.append(np.stack([policy.act({n: v[k:k + 1, t] for n, v in drawn.items()})[0] for t in range(steps)]))
    return {**{f'input/{n}': v for n, v in drawn.items()}, 'output': np.stack(outputs)}
