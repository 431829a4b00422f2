"""What a schema cannot say about ``policy.yaml``: does it fit itself, the hand, the driver and the graph?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import ArrayLike, NDArray

from allegro_ai.integrity import hand_fingerprint
from allegro_ai.observation import terms

if TYPE_CHECKING:
    from allegro_ai.graph import GraphReport

Contract = Mapping[str, Any]

METADATA = {'name': 'allegro.bundle', 'version': 'allegro.version', 'schema': 'allegro.schema_version',
            'contract': 'allegro.contract_sha256'}
"""Keys of the graph's ``metadata_props``."""


def _refuse(field: str, problem: str, remedy: str = 'Export the bundle again') -> BundleError:
    return BundleError(f'policy.yaml: {_cut(field, 120)} {_cut(problem, 900)}. {remedy}')


def _cut(text: str, length: int) -> str:
    """A sentence stays one, whatever a file holds."""
    return text if len(text) <= length else text[:length - 1] + '…'


def check_itself(contract: Contract) -> None:
    """Lengths, poses, bounds and names that depend on one another.

    Raises:
        BundleError: the first contradiction.
    """
    n = len(contract['joints'])
    if len(set(contract['joints'])) != n:
        raise _refuse('joints', 'names a joint twice')
    workload = is_workload(contract)
    vectors = {'action.scale_rad', 'grasp.opposed_pose', 'controller.kp', 'controller.kd',
               'controller.torque_limit_nm', 'safety.start_pose'}
    for field in sorted(vectors):
        section, name = field.split('.')
        if len(contract[section][name]) != n:
            raise _refuse(field, f'has {len(contract[section][name])} values for {n} joints')
    _check_action(contract['action'], n)
    if not workload and (contract['output']['shape'] != [n] or list(contract['output']['range']) != [-1, 1]):
        raise _refuse('output', f'must have shape [{n}] and range [-1, 1]; the node maps exactly that')
    history = contract['runtime']['history']
    if (history['kind'] == 'none') != (history['steps'] == 1):
        raise _refuse('runtime.history', f'is {history["kind"]} of {history["steps"]} steps; none means 1, stack more')
    seen: set[str] = set()
    for entry in contract['inputs']:
        name = entry['name']
        if name in seen:
            raise _refuse(f'inputs.{name}', 'is listed twice')
        seen.add(name)
        if 'privileged' in (name.split('_')[0], entry['kind'].split('/')[0]):
            raise _refuse(f'inputs.{name}', 'is privileged: only a simulator knows it, so a policy that reads it '
                          'cannot run on a hand', 'Train a student without it and export that')
        if entry['required'] != (entry['on_missing'] == 'stop'):
            raise _refuse(f'inputs.{name}', 'contradicts itself: required terms stop, others are masked')
        low, high = entry.get('range', (0, 1))
        if low >= high:
            raise _refuse(f'inputs.{name}.range', f'is [{low}, {high}]; lower must be below upper')
    for entry in contract['inputs']:
        if entry['on_missing'] == 'mask' and entry.get('mask') not in seen:
            raise _refuse(f'inputs.{entry["name"]}.mask', f'is {entry.get("mask")!r}, which is no input of this policy')
    if contract['provenance']['touch_used'] and not any(name.startswith('tactile') for name in seen) and not workload:
        raise _refuse('provenance.touch_used', 'is true, but no input is touch')
    spec, safety = contract['observation'], contract['safety']
    if spec['contact_off_kpa'] > spec['contact_on_kpa']:
        raise _refuse('observation.contact_off_kpa', 'is above contact_on_kpa')
    if safety['ood_warn'] > safety['ood_stop']:
        raise _refuse('safety.ood_warn', 'is above ood_stop')
    _check_outputs(contract)
    files = contract['integrity']['files']
    needed = {'golden.file': contract['golden']['file'], 'graph': 'policy.onnx', 'card': 'MODEL_CARD.md',
              'licence': 'LICENSE'}
    if not workload:
        needed |= {'ood.file': contract['ood']['file'], 'evaluation.file': contract['evaluation']['file'],
                   'provenance.randomisation': contract['provenance']['randomisation']}
    for field, file in needed.items():
        if file not in files:
            raise _refuse('integrity.files', f'does not list {file} ({field})')


def _check_action(action: Mapping[str, Any], n: int) -> None:
    """Semantics, reference and steps of the node belong together; bounds come in pairs."""
    incremental = action['semantics'] == 'position_delta'
    if incremental != (action['reference'] == 'previous_target'):
        raise _refuse('action.reference', f'is {action["reference"]}, which does not belong to {action["semantics"]}')
    lower, upper = (list(action.get(name, ())) for name in ('lower_rad', 'upper_rad'))
    bounded = bool(lower or upper)
    if bounded != ('policy_limit' in action['in_node']):
        raise _refuse('action.in_node', 'names policy_limit exactly when lower_rad and upper_rad are given')
    if bounded and not (len(lower) == len(upper) == n and (np.array(lower) < np.array(upper)).all()):
        raise _refuse('action.lower_rad', f'and upper_rad must be {n} values each, lower below upper')


def _check_outputs(contract: Contract) -> None:
    """Further outputs and recurrent states: no name twice, as many names as numbers."""
    names = [contract['output']['name'], *(state['output'] for state in contract['runtime']['state'])]
    for entry in contract.get('extra_outputs', ()):
        field = f'extra_outputs.{entry["name"]}'
        names.append(entry['name'])
        if len(entry['elements']) != entry['shape'][0]:
            raise _refuse(f'{field}.elements', f'has {len(entry["elements"])} names for {entry["shape"][0]} numbers')
        if entry['kind'].startswith('probability/') and list(entry['range']) != [0, 1]:
            raise _refuse(f'{field}.range', f'is {entry["range"]}; a probability lies in [0, 1]')
    states = [state['name'] for state in contract['runtime']['state']]
    inputs = [entry['name'] for entry in contract['inputs']]
    for what, all_names in (('output', names), ('input', [*inputs, *states])):
        twice = sorted({name for name in all_names if all_names.count(name) > 1})
        if twice:
            raise _refuse('runtime.state', f'uses the graph {what} {twice[0]!r} for two things')


def is_workload(contract: Contract) -> bool:
    """Whether the bundle only has the size of a policy (random weights, for timing) and must never move a hand."""
    return bool(contract.get('kind', 'policy') == 'workload')


def check_mode(contract: Contract, mode: str) -> None:
    """May this bundle be used by the node in ``mode`` (``shadow``, ``sim`` or ``live``)?

    Raises:
        BundleError: a workload in ``live``.
    """
    if mode == 'live' and is_workload(contract):
        raise BundleError(f'{contract["bundle"]["name"]} is a workload: its weights are random and say nothing about '
                          'grasping. A live hand needs a bundle of kind policy; `allegro-ai list` shows them')


def golden_tolerance(contract: Contract, backend: str, precision: str = 'fp32') -> float:
    """Largest difference from the golden actions that was recorded for a backend and a precision.

    Args:
        contract: the contract.
        backend: name in the table of backends.
        precision: ``fp32``, or what the graph was converted to, e.g. ``int8_dynamic``.

    Raises:
        BundleError: a converted precision without a recorded tolerance; both are named.
    """
    recorded = contract['golden'].get('tolerances', {})
    key = f'{backend}/{precision}'
    if key in recorded:
        return float(recorded[key])
    if precision == 'fp32':
        return float(contract['golden']['tolerance'])
    raise BundleError(f'{contract["bundle"]["name"]}: golden.tolerances names no {key}, so nothing says how far that '
                      f'precision may be off; recorded: {", ".join(sorted(recorded)) or "none"}. Use fp32, or measure '
                      'it and export the bundle with its tolerance')


def check_hand(contract: Contract, model: HandModel) -> None:
    """Is this the hand, with the joints, limits, gains and touch cells that the policy was made for?

    Raises:
        BundleError: another hand, another description of it, or terms it does not have.
    """
    hand, joints = contract['hand'], tuple(contract['joints'])
    if model.name != hand['profile'] and model.name not in hand['compatible']:
        fits = ', '.join([hand['profile'], *hand['compatible']])
        raise _refuse('hand.profile', f'is {hand["profile"]!r}, but the hand is {model.name!r}; it fits {fits}',
                      'Choose a bundle for this hand')
    if set(joints) != set(model.joint_names):
        raise _refuse('joints', f'are {", ".join(joints)}; the hand has {", ".join(model.joint_names)}',
                      'Choose a bundle for this hand')
    if joints != model.joint_names:
        raise _refuse('joints', f'are in the order {", ".join(joints)}; needed: {", ".join(model.joint_names)}',
                      'Export the bundle in canonical order')
    if model.name == hand['profile'] and hand_fingerprint(model) != hand['profile_sha256']:
        raise _refuse('hand.profile_sha256', f'is {hand["profile_sha256"][:12]}…, but the description of {model.name} '
                      f'here gives {hand_fingerprint(model)[:12]}…: joints, limits, gains, frames, taxels or '
                      'actuation have changed since training', 'Train and export again, or use the matching suite')
    for field in ('safety.start_pose', 'grasp.opposed_pose'):
        section, name = field.split('.')
        pose = np.array(contract[section][name])
        if not ((pose >= model.lower) & (pose <= model.upper)).all():
            bad = [j.name for j, q in zip(model.joints, pose, strict=True) if not j.lower <= q <= j.upper]
            raise _refuse(field, f'leaves the joint limits at {", ".join(bad)}')
    table = terms(model)
    for entry in contract['inputs']:
        name = entry['name']
        if is_workload(contract) and entry['kind'].startswith('workload/'):
            continue  # a benchmark feeds it; no hand could
        if name not in table:
            raise _refuse(f'inputs.{name}', f'is no term this suite builds; known: {", ".join(table)}')
        term = table[name]
        elements = list(contract['joints']) if entry['elements'] == 'joints' else entry['elements']
        built = {'kind': term.kind, 'unit': term.unit, 'elements': list(term.elements), 'source': term.source,
                 'shape': [len(term.elements)]}
        for field, needed in built.items():
            given = elements if field == 'elements' else entry[field]
            if given != needed:
                raise _refuse(f'inputs.{name}.{field}', f'is {given!r}; this suite builds {needed!r}')
        if not name.startswith('tactile') and entry['on_missing'] != 'stop':
            raise _refuse(f'inputs.{name}.on_missing', 'is mask; only touch can be masked')
    check_controller(contract, model.kp, model.kd, model.torque_limit, f'description of {model.name}')


def check_controller(
    contract: Contract, kp: ArrayLike, kd: ArrayLike, torque_limit: ArrayLike, source: str,
) -> None:
    """Compare gains (N·m/rad, N·m·s/rad) and torque limits (N·m) with those the policy was trained with.

    Args:
        contract: the contract.
        kp: proportional gains, canonical order.
        kd: derivative gains.
        torque_limit: joint torque limits.
        source: whose values these are, for the message.

    Raises:
        BundleError: a relative difference above ``controller.tolerance``; the worst joint is named.
    """
    controller = contract['controller']
    tolerance = float(controller['tolerance'])
    for name, values in (('kp', kp), ('kd', kd), ('torque_limit_nm', torque_limit)):
        trained: NDArray[np.float64] = np.array(controller[name], dtype=np.float64)
        found: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        if found.shape != trained.shape or not np.isfinite(found).all():
            raise _refuse(f'controller.{name}', f'cannot be compared: {source} has {found.size} values')
        difference = np.abs(found - trained) / np.maximum(np.abs(trained), 1e-9)
        worst = int(np.argmax(difference))
        if difference[worst] > tolerance + 1e-9:
            raise _refuse(f'controller.{name}', f'of {contract["joints"][worst]} is {trained[worst]:g}, but the '
                          f'{source} has {found[worst]:g} ({difference[worst]:.0%} off, allowed {tolerance:.0%})',
                          'Set the gains it was trained with, or choose another bundle')


def check_graph(contract: Contract, report: GraphReport, contract_sha256: str) -> None:
    """Does ``policy.onnx`` belong to this contract, and does it take and give what the contract says?

    Raises:
        BundleError: other metadata, operator set, input or output names, or shapes.
    """
    bundle = contract['bundle']
    expected = {METADATA['name']: bundle['name'], METADATA['version']: bundle['version'],
                METADATA['schema']: str(contract['schema_version']), METADATA['contract']: contract_sha256}
    for key, value in expected.items():
        if report.metadata.get(key) != value:
            raise BundleError(
                f'policy.onnx: metadata {key} is {report.metadata.get(key)!r}, the contract says {value!r}; graph and '
                'policy.yaml do not belong together, or one was altered. Copy the bundle again'
            )
    runtime = contract['runtime']
    if report.opset != runtime['opset']:
        raise BundleError(f'policy.onnx: operator set {report.opset}; runtime.opset says {runtime["opset"]}')
    steps = runtime['history']['steps']
    middle = (steps,) if runtime['history']['kind'] == 'stack' else ()
    wanted: dict[str, Sequence[int | None]] = {
        entry['name']: (None, *middle, *entry['shape']) for entry in contract['inputs']}
    wanted.update({state['name']: tuple(state['shape']) for state in runtime['state']})
    if list(report.spec.inputs) != list(wanted):
        raise BundleError(f'policy.onnx: inputs are {list(report.spec.inputs)}; policy.yaml lists {list(wanted)}')
    outputs: dict[str, Sequence[int | None]] = {
        entry['name']: (None, *entry['shape']) for entry in (contract['output'], *contract.get('extra_outputs', ()))}
    outputs.update({state['output']: tuple(state['shape']) for state in runtime['state']})
    if set(outputs) != set(report.spec.outputs):
        found_outputs = sorted(report.spec.outputs)
        raise BundleError(f'policy.onnx: outputs are {found_outputs}; policy.yaml needs {sorted(outputs)}')
    for name, shape in {**wanted, **outputs}.items():
        found = report.spec.inputs.get(name, report.spec.outputs.get(name, ()))
        free = [have in (None, 1) if need is None else have in (None, need)
                for have, need in zip(found, shape, strict=False)]
        if len(found) != len(shape) or not all(free):
            raise BundleError(f'policy.onnx: {name!r} has shape {list(found)}, policy.yaml says {list(shape)} '
                              '(None: batch)')
