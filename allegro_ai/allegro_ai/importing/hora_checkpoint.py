"""Read a HORA checkpoint: numbers only, every name and shape checked before anything is done with them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import BundleError, MissingDependency
from numpy.typing import NDArray

from allegro_ai.importing.hora_network import FRAME, HISTORY, JOINTS, LATENT, OBSERVATION, HoraNetwork

Float = NDArray[np.float64]

MAX_BYTES = 64 * 1024 * 1024

_UNUSED = ('value.', 'env_mlp.', 'sigma')
"""Parts of a checkpoint that only training needs: critic, teacher's encoder, exploration."""


def read_network(path: Path, stage: int | None = None) -> HoraNetwork:
    """The policy network of a checkpoint that was written by ``torch.save``.

    Args:
        path: the file.
        stage: 1 (no adaptation) or 2 (estimates the object); None: what the file holds.

    Raises:
        BundleError: not such a file, more than numbers in it, other names or shapes, a teacher that reads what only a
            simulator knows, or another stage.
        MissingDependency: torch is absent.
    """
    content = _load(path)
    model = _arrays(content, 'model', path)
    weights = {name: value for name, value in model.items() if not name.startswith(_UNUSED)}
    adaptive = any(name.startswith('adapt_tconv.') for name in weights)
    found = 2 if adaptive else 1
    if stage not in (None, found):
        raise BundleError(f'{path} is a checkpoint of stage {found}, not of stage {stage}: it has '
                          f'{"an" if adaptive else "no"} adapt_tconv')
    if not adaptive and weights.get('actor_mlp.mlp.0.weight', np.zeros((0, 0))).shape[-1] == OBSERVATION + LATENT:
        raise BundleError(f'{path} is a teacher (stage 1 with privileged information): it reads position, size, mass, '
                          'friction and centre of mass of the object, which only a simulator knows. Import the '
                          'student of stage 2')
    _check_layers(weights, adaptive, path)
    statistics = _statistics(content, 'running_mean_std', (OBSERVATION,), path)
    history = _statistics(content, 'sa_mean_std', (HISTORY, FRAME), path) if adaptive else (None, None)
    return HoraNetwork(weights, *statistics, *history)


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleError(f'{path} is no checkpoint in the zip format of torch.save ({error}); save it again with a '
                          'current torch. Older formats can run code when they are read and are not opened') from error
    size = sum(entry.file_size for entry in entries)
    if size > MAX_BYTES or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise BundleError(f'{path} holds {size} bytes or compressed parts; allowed are {MAX_BYTES} uncompressed bytes '
                          '(a HORA policy has about two million)')
    try:
        import torch
    except ImportError as error:
        raise MissingDependency(f'reading a checkpoint needs the package torch ({error}). Install it with: '
                                'pip install torch --index-url https://download.pytorch.org/whl/cpu') from error
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # pickle, zip, storage …: torch has no common base for what it refuses
        said = ' '.join(str(error).split())
        raise BundleError(f'{path} holds more than weights, or is damaged; nothing in it was run ({said[:160]}). Save '
                          'the state dictionaries only') from error
    if not isinstance(content, Mapping):
        raise BundleError(f'{path} holds a {type(content).__name__}; a HORA checkpoint is a dictionary')
    return content


def _arrays(content: Mapping[str, Any], part: str, path: Path) -> dict[str, Float]:
    values = content.get(part)
    if not isinstance(values, Mapping):
        raise BundleError(f'{path} has no {part}; it holds {", ".join(map(str, content)) or "nothing"}')
    arrays: dict[str, Float] = {}
    for name, value in values.items():
        if not hasattr(value, 'detach') or not isinstance(name, str):
            raise BundleError(f'{path}: {part}.{name} is no tensor')
        arrays[name] = value.detach().to('cpu').double().numpy()
        if not np.isfinite(arrays[name]).all():
            raise BundleError(f'{path}: {part}.{name} holds NaN or infinite values; the training went wrong, choose an '
                              'earlier checkpoint')
    return arrays


def _statistics(content: Mapping[str, Any], part: str, shape: tuple[int, ...], path: Path) -> tuple[Float, Float]:
    arrays = _arrays(content, part, path)
    for name in ('running_mean', 'running_var'):
        if name not in arrays or arrays[name].shape != shape:
            has = arrays[name].shape if name in arrays else 'missing'
            raise BundleError(f'{path}: {part}.{name} is {has}, needed {shape}')
    if (arrays['running_var'] < 0).any():
        raise BundleError(f'{path}: {part}.running_var is negative')
    return arrays['running_mean'], arrays['running_var']


def _check_layers(weights: Mapping[str, Float], adaptive: bool, path: Path) -> None:
    """Every layer that is needed, in the right shape, and nothing else."""
    sizes: list[tuple[str, tuple[int | None, ...]]] = []
    width: int | None = OBSERVATION + (LATENT if adaptive else 0)
    for layer in (0, 2, 4):
        sizes.append((f'actor_mlp.mlp.{layer}', (None, width)))
        width = weights.get(f'actor_mlp.mlp.{layer}.weight', np.zeros(1)).shape[0]
    sizes.append(('mu', (JOINTS, width)))
    if adaptive:
        sizes += [('adapt_tconv.channel_transform.0', (32, FRAME)), ('adapt_tconv.channel_transform.2', (32, 32)),
                  ('adapt_tconv.temporal_aggregation.0', (32, 32, 9)),
                  ('adapt_tconv.temporal_aggregation.2', (32, 32, 5)),
                  ('adapt_tconv.temporal_aggregation.4', (32, 32, 5)), ('adapt_tconv.low_dim_proj', (LATENT, 96))]
    wanted = {f'{name}.{kind}' for name, _ in sizes for kind in ('weight', 'bias')}
    if set(weights) != wanted:
        odd = ', '.join(sorted(set(weights) ^ wanted))
        raise BundleError(f'{path} is no HORA policy: missing or unknown are {odd}')
    for name, shape in sizes:
        found, bias = weights[f'{name}.weight'].shape, weights[f'{name}.bias'].shape
        if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)) \
                or bias != found[:1]:
            raise BundleError(f'{path}: {name} has weight {found} and bias {bias}; needed is weight '
                              f'{tuple("any" if n is None else n for n in shape)}')
