"""A small, exact checker for the JSON-Schema keywords that ``policies/policy.schema.json`` uses.

Why not the ``jsonschema`` package: the base install is numpy and pyyaml, a robot must be able to refuse a bad bundle
without more, and the messages shall carry the field's meaning as the remedy. The schema file stays plain JSON Schema:
a test runs both checkers over the same damaged documents.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from allegro_description.errors import BundleError
from allegro_description.share import share_dir

_TYPES: Mapping[str, Any] = {
    'object': dict, 'array': list, 'string': str, 'boolean': bool, 'integer': int, 'number': (int, float),
    'null': type(None),
}
_KEYWORDS = {
    '$schema', 'title', 'description', 'type', 'additionalProperties', 'required', 'properties', 'const', 'enum',
    'pattern', 'minLength', 'minItems', 'maxItems', 'items', 'minimum', 'maximum', 'exclusiveMinimum', 'minProperties',
    'propertyNames',
}
_LARGEST = 2 ** 53
"""Beyond it, integers are no longer exact as floating-point numbers; no field needs one."""


@lru_cache(maxsize=1)
def contract_schema() -> Mapping[str, Any]:
    """The schema of ``policy.yaml``, version 1."""
    path = share_dir('allegro_ai') / 'policies' / 'policy.schema.json'
    schema: Mapping[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return schema


def validate(value: Any, schema: Mapping[str, Any], where: str, path: str = '') -> None:
    """Check ``value`` (plain YAML or JSON values) against ``schema``.

    Args:
        value: the document.
        schema: JSON Schema using the keywords of this module.
        where: name of the file, for messages.
        path: field within the document.

    Raises:
        BundleError: the first field that does not fit: its name, what it is, what is allowed, what it means.
    """
    unknown = set(schema) - _KEYWORDS
    if unknown:
        raise BundleError(f'schema of {where}: keywords {sorted(unknown)} are not supported by this checker')

    def refuse(problem: str) -> BundleError:
        meaning = schema.get('description', '')
        return BundleError(f'{where}: {path or "document"} {problem}.{" Meaning: " + meaning if meaning else ""}')

    kinds = schema.get('type')
    if kinds is not None:
        names = [kinds] if isinstance(kinds, str) else list(kinds)
        if not any(_is(value, name) for name in names):
            raise refuse(f'is {_short(value)}; must be {" or ".join(names)}')
    if 'const' in schema and not _equal(value, schema['const']):
        raise refuse(f'is {_short(value)}; must be {_short(schema["const"])}')
    if 'enum' in schema and not any(_equal(value, choice) for choice in schema['enum']):
        raise refuse(f'is {_short(value)}; must be one of {", ".join(_short(c) for c in schema["enum"])}')
    if isinstance(value, str):
        if len(value) < schema.get('minLength', 0):
            raise refuse('is empty')
        # In JSON Schema $ is the very end; in Python it would also fit before a line break.
        if 'pattern' in schema and not re.search(re.sub(r'\$$', r'\\Z', schema['pattern']), value):
            raise refuse(f'is {_short(value)}; must match {schema["pattern"]}')
    elif _is(value, 'number'):
        _check_number(value, schema, refuse)
    elif isinstance(value, list):
        low, high = schema.get('minItems', 0), schema.get('maxItems', math.inf)
        if not low <= len(value) <= high:
            raise refuse(f'has {len(value)} entries; must have {low if low == high else f"{low} … {high}"}')
        for number, item in enumerate(value):
            validate(item, schema.get('items', {}), where, f'{path}[{number}]')
    elif isinstance(value, dict):
        _check_object(value, schema, where, path, refuse)


def _check_number(value: float, schema: Mapping[str, Any], refuse: Any) -> None:
    low, high, above = (schema.get(k) for k in ('minimum', 'maximum', 'exclusiveMinimum'))
    if not (abs(value) <= _LARGEST):  # NaN compares with nothing; a huge integer has no float
        raise refuse(f'is {_short(value)}; must be a finite number of ordinary size')
    if (low is not None and value < low) or (high is not None and value > high) or \
            (above is not None and value <= above):
        bounds = [f'at least {low}' if low is not None else '', f'above {above}' if above is not None else '',
                  f'at most {high}' if high is not None else '']
        raise refuse(f'is {value}; must be {" and ".join(b for b in bounds if b)}')


def _check_object(value: Mapping[Any, Any], schema: Mapping[str, Any], where: str, path: str, refuse: Any) -> None:
    known: Mapping[str, Any] = schema.get('properties', {})
    prefix = f'{path}.' if path else ''
    for name in schema.get('required', ()):
        if name not in value:
            meaning = known.get(name, {}).get('description', '')
            raise BundleError(f'{where}: {prefix}{name} is missing. Add it or export the bundle again. '
                              f'Meaning: {meaning}')
    if len(value) < schema.get('minProperties', 0):
        raise refuse('is empty')
    rest = schema.get('additionalProperties', True)
    for name, item in value.items():
        if not isinstance(name, str):
            raise refuse(f'has a key {name!r} that is not text')
        if 'propertyNames' in schema:
            validate(name, schema['propertyNames'], where, f'{prefix}{_short(name)}')
        if name in known:
            validate(item, known[name], where, prefix + name)
        elif rest is False:
            raise BundleError(f'{where}: {prefix}{name} is not a known field; known here: {", ".join(known)}. '
                              'Remove it, or use a version of the suite that knows it')
        elif isinstance(rest, dict):
            validate(item, rest, where, prefix + name)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name in ('integer', 'number'):
        return False
    if name == 'integer' and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _equal(value: Any, other: Any) -> bool:
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + '…'
