"""The JSON Schema of a result, and the check against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.share import share_dir

from allegro_bench.results.document import MAJOR, MINOR

FILE = 'schema/result.schema.json'
MOST = 20
"""So many problems are listed; the rest follows from them as a rule."""


@lru_cache(maxsize=1)
def schema_document() -> Mapping[str, Any]:
    """The JSON Schema as shipped."""
    found: dict[str, Any] = json.loads((share_dir('allegro_bench') / FILE).read_text(encoding='utf-8'))
    return found


def problems(document: Mapping[str, Any]) -> list[str]:
    """Where a result does not fit its schema, one sentence each, at most :data:`MOST`.

    A newer minor version of the same major one may hold fields that this version does not know; they are not counted.

    Raises:
        MissingDependency: the package ``jsonschema`` is absent.
    """
    found = []
    for error in _validator().iter_errors(document):
        if error.validator == 'additionalProperties' and newer(document):
            continue
        where = '/'.join(str(p) for p in error.absolute_path) or 'the top'
        found.append(f'it does not fit its schema at {where}: {error.message[:200]}')
        if len(found) == MOST:
            break
    return found


@lru_cache(maxsize=1)
def _validator() -> Any:
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependency('checking a result against its schema needs jsonschema: pip install jsonschema'
                                ) from error
    return Draft202012Validator(schema_document())


def newer(document: Mapping[str, Any]) -> bool:
    """Whether it was written by a later minor version of the same major one."""
    major, _, minor = str(document['schema'].get('version')).partition('.')
    return major == str(MAJOR) and minor.isdigit() and int(minor) > MINOR


def validate(document: Mapping[str, Any]) -> None:
    """Check a result against its schema.

    Raises:
        ConfigError: it does not fit; the message names the first place.
        MissingDependency: the package ``jsonschema`` is absent.
    """
    found = problems(document)
    if found:
        raise ConfigError(found[0])
