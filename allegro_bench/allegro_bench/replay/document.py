"""``replay.json``: written, read, and checked against the JSON Schema ``allegro_bench.replay`` version 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.share import share_dir

from allegro_bench.replay.evaluation import SCHEMA

FILE = 'replay.json'


def write(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write the document into a folder, which is made if it is not there, and return the file's path.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + '\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'cannot write into {folder}: {error.strerror}; give another folder with --output') from error
    return path


def load(folder: Path) -> dict[str, Any]:
    """Read the document of a folder.

    Raises:
        ConfigError: missing, no JSON, or of another schema.
    """
    path = folder / FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        schema = found['schema']
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f'{path} cannot be read: {error}; give a folder that allegro-bench replay wrote') from error
    except (KeyError, TypeError) as error:
        raise ConfigError(f'{path} states no schema; it is no replay of this suite') from error
    if schema != SCHEMA:
        raise ConfigError(f'{path} has schema {schema}, this version reads {SCHEMA}')
    return found


def schema_document() -> dict[str, Any]:
    """The JSON Schema, as shipped."""
    path = share_dir('allegro_bench') / 'schema' / 'replay_v1.json'
    document: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return document


def validate(document: Mapping[str, Any]) -> None:
    """Check a document against the JSON Schema.

    Raises:
        ConfigError: it does not fit; the message says where.
        MissingDependency: the package ``jsonschema`` is absent.
    """
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependency('checking a replay against its schema needs jsonschema: pip install jsonschema'
                                ) from error
    for problem in Draft202012Validator(schema_document()).iter_errors(document):
        where = '/'.join(str(p) for p in problem.absolute_path) or 'the top'
        raise ConfigError(f'the replay does not fit its schema at {where}: {problem.message[:200]}')
