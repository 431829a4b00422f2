"""Training results on disk: one safetensors file with weights, optimiser state and a JSON document. No pickles.

A file is replaced in one step, so a run that is killed leaves the last complete one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.config import from_mapping
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from allegro_ai.integrity import hand_fingerprint
from allegro_ai.training.settings import Settings

FILE = 'checkpoint.safetensors'
ACTOR = 'policy/mlp_extractor.actor.'
"""Prefix of the actor's weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run after some updates.

    Attributes:
        settings: what it was started with. task: name and version of the task.
        hand: name of the hand. hand_sha256: of its description.
        updates, steps: policy updates and control steps done. wall_s: seconds they took.
        curve: one entry of numbers per update.
        tensors: weights (``policy/…``) and optimiser state (``adam/…``).
        terms: observation terms that the actor reads.
        stopped: why the run ended, empty while it can go on.
    """

    settings: Settings
    task: str
    hand: str
    hand_sha256: str
    updates: int
    steps: int
    wall_s: float
    terms: tuple[str, ...]
    curve: list[dict[str, float]] = field(default_factory=list)
    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    stopped: str = ''

    @property
    def actor(self) -> dict[str, NDArray[np.float32]]:
        """Weights of the actor by the names that its module gives them."""
        return {name.removeprefix(ACTOR): value for name, value in self.tensors.items() if name.startswith(ACTOR)}

    def save(self, folder: Path) -> Path:
        """Write it into ``folder``, replacing an older one."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {name: getattr(self, name) for name in self.__slots__ if name not in ('tensors', 'settings')}
        document['settings'] = asdict(self.settings)
        data = save({k: np.array(v, order='C') for k, v in self.tensors.items()},
                    metadata={'allegro_ai': json.dumps(document)})
        path, fresh = folder / FILE, folder / f'.{FILE}.{os.getpid()}'
        with fresh.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return path


def load_checkpoint(path: str | Path, hand: HandModel | None = None) -> Checkpoint:
    """Read a file, or the one in a folder.

    Raises:
        ConfigError: no such file, not a checkpoint, or made for another hand.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(f'{path} does not exist; allegro-ai train writes it')
    try:
        with safe_open(path, framework='numpy') as file:
            document = json.loads((file.metadata() or {})['allegro_ai'])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        settings = from_mapping(Settings, document.pop('settings'))
        document['terms'] = tuple(document['terms'])
        found = Checkpoint(settings=settings, tensors=tensors, **document)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ConfigError(f'{path} is no training checkpoint ({error}); train again') from error
    if hand is not None and found.hand_sha256 != hand_fingerprint(hand):
        raise ConfigError(f'{path} was trained for {found.hand} as it was described then; it does not fit {hand.name} '
                          'as it is described here. Train again')
    return found
