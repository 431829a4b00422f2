"""How two bundles differ, in words: what the hand would feel first, then weights, results and paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from allegro_ai.contents import CONTRACT, GRAPH, SIGNATURE, SUMS, Contents
from allegro_ai.schema import contract_schema
from allegro_ai.untrusted import parse_yaml

_ORDER = ('schema_version', 'kind', 'bundle', 'hand', 'joints', 'runtime', 'inputs', 'observation', 'timing', 'output',
          'extra_outputs', 'action', 'grasp', 'controller', 'safety', 'normalisation', 'golden', 'ood', 'provenance',
          'evaluation')
_SHOWN = 6


def differences(old: Contents, new: Contents) -> list[str]:
    """One sentence for each difference of two bundles whose files are unaltered; none when they are the same.

    Raises:
        BundleError: a graph that cannot be read.
    """
    one, two = (parse_yaml(files[CONTRACT], CONTRACT) for files in (old, new))
    lines: list[str] = []
    for section in _ORDER:
        lines += _compare(section, one.get(section), two.get(section), one['joints'])
    if old[GRAPH] != new[GRAPH]:
        lines += [f'graph: {line}' for line in _graphs(old[GRAPH], new[GRAPH])]
    for name in sorted({*old, *new} - {CONTRACT, GRAPH, SUMS}):
        if name not in old or name not in new:
            lines.append(f'{name}: only in the {"second" if name in new else "first"}')
        elif old[name] != new[name]:
            what = 'another signature' if name == SIGNATURE else f'altered ({len(old[name])} → {len(new[name])} bytes)'
            lines.append(f'{name}: {what}')
    return lines


def _compare(path: str, old: Any, new: Any, joints: Sequence[str]) -> Iterator[str]:
    """Differences of two values of the contract."""
    if old == new and type(old) is type(new):
        return
    if path == 'inputs':
        yield from _inputs(old, new, joints)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(n for n in new if n not in old)]:
            yield from _compare(f'{path}.{name}', old.get(name), new.get(name), joints)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and all(
            isinstance(v, (int, float)) for v in (*old, *new)):
        yield f'{path}: {_numbers(old, new, joints)}{_meaning(path)}'
    else:
        yield f'{path}: {_said(old)} → {_said(new)}{_share(old, new)}{_meaning(path)}'


def _inputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], joints: Sequence[str]) -> Iterator[str]:
    """Observation terms by name, then their order."""
    one, two = ({entry['name']: entry for entry in entries} for entries in (old, new))
    for name in one:
        if name not in two:
            yield f'inputs: {name} is no longer read'
    for name in two:
        if name not in one:
            yield f'inputs: {name} is read now ({two[name]["unit"]}, {two[name]["shape"][0]} numbers)'
    for name in one:
        if name in two:
            yield from _compare(f'inputs.{name}', one[name], two[name], joints)
    if set(one) == set(two) and list(one) != list(two):
        yield f'inputs: another order: {", ".join(two)}'


def _numbers(old: Sequence[float], new: Sequence[float], joints: Sequence[str]) -> str:
    """Vectors number by number, by joint if they have the length of the joints."""
    changed = [k for k in range(len(old)) if old[k] != new[k]]
    names = joints if len(joints) == len(old) else [f'[{k}]' for k in range(len(old))]
    shown = ', '.join(f'{names[k]} {old[k]:g} → {new[k]:g}{_share(old[k], new[k])}' for k in changed[:_SHOWN])
    return shown + (f' and {len(changed) - _SHOWN} more' if len(changed) > _SHOWN else '')


def _share(old: Any, new: Any) -> str:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (old, new))
    return f' ({(new - old) / abs(old):+.1%})' if numbers and old else ''


def _said(value: Any) -> str:
    if value is None:
        return 'nothing'
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text if len(text) <= 160 else text[:157] + '…'


def _meaning(path: str) -> str:
    """The meaning of a field, from the schema."""
    schema: Mapping[str, Any] = contract_schema()
    for name in path.split('.'):
        schema = schema.get('properties', schema.get('items', {}).get('properties', {})).get(name, {})
    meaning = schema.get('description', '').removeprefix('Optional. ').rstrip('.')
    return f'   [{meaning}]' if meaning else ''


def _graphs(old: bytes, new: bytes) -> Iterator[str]:
    """Operators, then weights by name, with how much they changed."""
    import onnx

    from allegro_ai.bundle import inspect_graph
    one, two = inspect_graph(old), inspect_graph(new)
    if one.parameters != two.parameters:
        yield f'{one.parameters} → {two.parameters} numbers stored'
    if one.operators != two.operators:
        kinds = sorted({*one.operators, *two.operators})
        changed = [f'{k} {one.operators.get(k, 0)} → {two.operators.get(k, 0)}' for k in kinds
                   if one.operators.get(k, 0) != two.operators.get(k, 0)]
        yield f'operators: {", ".join(changed)}'
    weights = [{t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_model_from_string(graph).graph.initializer}
               for graph in (old, new)]
    said = False
    for name in [*weights[0], *(n for n in weights[1] if n not in weights[0])]:
        a, b = (table.get(name) for table in weights)
        if a is None or b is None:
            yield f'weights {name}: only in the {"second" if a is None else "first"}'
        elif a.shape != b.shape or a.dtype != b.dtype:
            yield f'weights {name}: {a.dtype} {list(a.shape)} → {b.dtype} {list(b.shape)}'
        elif not np.array_equal(a, b):
            step = np.abs(b.astype(np.float64) - a)
            norm = float(np.sqrt((a.astype(np.float64) ** 2).sum()))
            relative = f', {float(np.sqrt((step ** 2).sum())) / norm:.3g} of their norm' if norm else ''
            yield (f'weights {name}: {int((step > 0).sum())} of {a.size} changed, by at most '
                   f'{float(step.max()):.3g}{relative}')
        else:
            continue
        said = True
    if not said and one.operators == two.operators:
        yield 'the same weights and operators; names, order or metadata differ'
