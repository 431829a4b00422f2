"""Who takes part in an evaluation: baselines, bundles and training results, by what a person types."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import HandModel

from allegro_ai.tasks.baselines import BASELINES, FORESIGHT, SPACES, arguments_of, oracle_plans
from allegro_ai.tasks.policies import POLICIES, make_policy

PATHS = ('path',)
"""Arguments that name a file or folder, which then is part of what a policy is."""


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One row of every table.

    Attributes:
        label: its name there.
        policy, arguments: as in :data:`~allegro_ai.tasks.policies.POLICIES`.
        privileged: it sees what no hand can see.
        fingerprint: SHA-256 over policy, arguments and the files they name.
    """

    label: str
    policy: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    privileged: bool = False
    fingerprint: str = ''

    @property
    def baseline(self) -> bool:
        """Whether it is one of the baselines that the suite brings along."""
        return BASELINES.get(self.label) == self.policy


def entrants(texts: Sequence[str], hand: HandModel) -> list[Entrant]:
    """Read what was typed, ``[LABEL=]WHAT`` each.

    ``WHAT`` is ``B0`` … ``B7``, ``baselines`` for all of them, a policy of the table that needs no arguments, a bundle
    (name or folder) or a training result (file or folder).

    Raises:
        UnknownName: nothing of that name.
        ConfigError: two rows of one label, or a result that cannot be read.
    """
    found = [entrant(text, hand) for text in _expanded(texts)]
    labels = [e.label for e in found]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(f'{twice[0]!r} takes part twice; give one of them another label: LABEL={twice[0]}')
    return found


def entrant(text: str, hand: HandModel) -> Entrant:
    """Read one ``[LABEL=]WHAT``; see :func:`entrants`."""
    label, given, what = text.partition('=')
    if not given:
        label, what = text, text
    policy, arguments = _found(what, hand)
    if not given and policy not in BASELINES.values() and ('/' in label or '.' in label):
        label = Path(what).stem if Path(what).is_file() else Path(what).name
    acting = make_policy(hand, policy, arguments)        # refused here, not in a worker
    return Entrant(label, policy, arguments, bool(getattr(acting, 'privileged', False)),
                   fingerprint(policy, arguments))


def _expanded(texts: Sequence[str]) -> list[str]:
    result: list[str] = []
    for text in texts:
        result += list(BASELINES) if text == 'baselines' else [text]
    return list(dict.fromkeys(result))


def _found(what: str, hand: HandModel) -> tuple[str, dict[str, Any]]:
    name = BASELINES.get(what, what)
    if name in SPACES:
        return name, dict(arguments_of(name, {}))
    if name == FORESIGHT:
        return name, {'plans': oracle_plans()}
    if name in POLICIES.names() and name not in ('linear', 'network', 'bundle'):
        return name, {}
    path = Path(what).expanduser()
    if path.suffix in ('.json', '.safetensors') or (path.is_dir() and not (path / 'policy.yaml').is_file()):
        from allegro_ai.training.trained import load_trained

        trained = load_trained(path, hand)
        return trained.policy, dict(trained.arguments)
    from allegro_ai.bundle import available_bundles

    names = available_bundles()
    if path.exists() or what in names:
        return 'bundle', {'path': str(path.resolve()) if path.exists() else what}
    raise UnknownName('policy', what, [*BASELINES, *names, 'a bundle or training result by path'])


def fingerprint(policy: str, arguments: Mapping[str, Any]) -> str:
    """SHA-256 over a policy's name, its arguments and the files they name."""
    digest = hashlib.sha256(policy.encode())
    for name, value in sorted(arguments.items()):
        digest.update(name.encode())
        if name in PATHS:
            for path in _files(str(value)):
                digest.update(path.name.encode() + b'\0' + path.read_bytes())
        else:
            digest.update(np.asarray(value).tobytes() if isinstance(value, np.ndarray) else json.dumps(value).encode())
    return digest.hexdigest()


def _files(text: str) -> list[Path]:
    from allegro_ai.bundle import find_bundle

    path = Path(text)
    path = path if path.exists() else find_bundle(text)
    return sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
