"""Policies by name: one table for baselines, training results, checkpoints and bundles.

Whatever runs episodes takes a name and arguments, so that everything is evaluated by one code path and can be sent to
another process. An entry is a callable ``factory(hand, **arguments)`` that returns something that acts; arguments are
plain values, arrays or paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from allegro_description.plugins import Plugin, PluginTable
from numpy.typing import NDArray

POLICIES = PluginTable(
    'policy',
    {
        'slip_student': Plugin('allegro_ai.training.slip_policy:student', ('onnxruntime',),
                               "pip install 'allegro_ai[onnx]'"),
        'slip_oracle': Plugin('allegro_ai.tasks.slip_policies:Oracle'),
        'slip_keep': Plugin('allegro_ai.tasks.slip_policies:Keep'),
        'slip_threshold': Plugin('allegro_ai.tasks.slip_policies:Threshold'),
        'squeeze': Plugin('allegro_ai.tasks.policies:Squeeze'),
        'freeze': Plugin('allegro_ai.tasks.baselines:freeze'),
        'open_loop': Plugin('allegro_ai.tasks.baselines:open_loop'),
        'open_loop_by_grip': Plugin('allegro_ai.tasks.baselines:ByGrip'),
        'max_squeeze': Plugin('allegro_ai.tasks.baselines:max_squeeze'),
        'tactile_reflex': Plugin('allegro_ai.tasks.baselines:TactileReflex'),
        'finger_reflex': Plugin('allegro_ai.tasks.baselines:FingerReflex'),
        'tracking_reflex': Plugin('allegro_ai.tasks.baselines:TrackingReflex'),
        'oracle': Plugin('allegro_ai.tasks.baselines:Oracle'),
        'foresight': Plugin('allegro_ai.tasks.foresight:Foresight'),
        'linear': Plugin('allegro_ai.tasks.policies:linear'),
        'grip_squeeze': Plugin('allegro_ai.training.teachers:GripSqueeze'),
        'structured': Plugin('allegro_ai.training.structured:policy'),
        'network': Plugin('allegro_ai.training.network_policy:network', ('onnxruntime', 'safetensors'),
                          'pip install onnx onnxruntime safetensors'),
        'bundle': Plugin('allegro_ai.tasks.policies:bundle', ('onnxruntime',), "pip install 'allegro_ai[onnx]'"),
    },
    'allegro_ai.policies',
)


class Acting(Protocol):
    """What a task needs of a policy.

    A policy with memory has ``reset(which)`` as well, which (batch,) bool or None for all. One that may see the
    simulator's state declares ``privileged = True`` and finds the terms ``privileged`` in its observation; one that
    may even see the future has ``prepare(episodes, randomise)``, called before the first step of a batch.
    """

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """Actions for a batch of observations, (batch, n_joints)."""


def make_policy(hand: HandModel, name: str, arguments: Mapping[str, Any] | None = None) -> Acting:
    """Build a policy of :data:`POLICIES`.

    Raises:
        UnknownPlugin: no policy of that name.
        MissingDependency: it needs a package that is not installed.
        ConfigError: an argument that it does not take, or one that is missing.
    """
    factory = POLICIES.load(name)
    try:
        acting: Acting = factory(hand, **dict(arguments or {}))
    except TypeError as error:
        raise ConfigError(f'policy {name!r} cannot be made of {sorted(arguments or {})}: {error}') from error
    return acting


class Squeeze:
    """Open loop: after the close, push every flexion joint by a constant share of its torque limit."""

    def __init__(self, hand: HandModel, share: float = 0.0) -> None:
        """Set the share, 0 (freeze) … 1 (as hard as the current clamp allows)."""
        self._action = np.where(hand.flexion, share, 0.0)

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """The same action always."""
        return np.tile(self._action, (len(observation['joint_position']), 1))


class Blind:
    """Hides touch from a policy: every touch term 0, every reading invalid."""

    def __init__(self, policy: Acting) -> None:
        """Wrap a policy."""
        self._policy = policy
        self.privileged = bool(getattr(policy, 'privileged', False))

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget the past, if the policy keeps one."""
        reset_policy(self._policy, which)

    def act(self, observation: Mapping[str, NDArray[np.float32]], /) -> NDArray[Any]:
        """Act without touch."""
        return self._policy.act({k: np.zeros_like(v) if k.startswith('tactile') else v for k, v in observation.items()})


def reset_policy(policy: Acting, which: NDArray[np.bool_] | None = None) -> None:
    """Start new episodes with a policy that has memory; nothing to do for one that has none."""
    reset = getattr(policy, 'reset', None)
    if reset is not None:
        reset(which)


def linear(hand: HandModel, parameters: Any = None, path: str | Path | None = None) -> Acting:
    """The finger-shared linear policy, of parameters or of a file that ``allegro-ai train`` wrote.

    Raises:
        ConfigError: not exactly one of both is given, or the file is no training result.
    """
    from allegro_ai.linear_policy import LinearPolicy

    if (parameters is None) == (path is None):
        raise ConfigError("policy 'linear' takes either parameters or path")
    if path is not None:
        from allegro_ai.training.random_search import load_result

        parameters = load_result(Path(path)).parameters
    return LinearPolicy(hand, np.asarray(parameters, dtype=np.float64))


def bundle(hand: HandModel, path: str | Path, backend: str = 'onnxruntime') -> Acting:
    """A policy bundle by name or folder, run by an inference backend.

    Raises:
        BundleError: the bundle is not sound, or made for another hand.
    """
    from allegro_ai.bundle import load_bundle

    return load_bundle(path, hand).policy(backend)
