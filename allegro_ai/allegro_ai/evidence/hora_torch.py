"""A network in HORA's architecture and names with random weights, and a step of its deployment, in plain torch eager.

Independent of :mod:`allegro_ai.importing`, which is compared with it: joint order, limits and history are stated again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Float = NDArray[np.float64]

TO_PEER = np.r_[0:4, 12:16, 4:8, 8:12]
"""Index, middle, ring, thumb to index, thumb, middle, ring."""
FROM_PEER = np.argsort(TO_PEER)
LOWER = torch.tensor([-0.47, -0.196, -0.174, -0.227, 0.263, -0.105, -0.189, -0.162,
                      -0.47, -0.196, -0.174, -0.227, -0.47, -0.196, -0.174, -0.227])
UPPER = torch.tensor([0.47, 1.61, 1.709, 1.618, 1.396, 1.163, 1.644, 1.719,
                      0.47, 1.61, 1.709, 1.618, 0.47, 1.61, 1.709, 1.618])


def _units(*sizes: int) -> nn.ModuleDict:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ELU())]
    return nn.ModuleDict({'mlp': nn.Sequential(*layers)})


class Adaptation(nn.Module):
    """Eight numbers about the object from thirty frames."""

    def __init__(self) -> None:
        super().__init__()
        self.channel_transform = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.temporal_aggregation = nn.Sequential(
            nn.Conv1d(32, 32, 9, stride=2), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.ReLU())
        self.low_dim_proj = nn.Linear(96, 8)

    def forward(self, history: Tensor) -> Tensor:
        """(batch, 30, 32) to (batch, 8)."""
        channels = self.channel_transform(history).transpose(1, 2)
        return torch.tanh(self.low_dim_proj(self.temporal_aggregation(channels).flatten(1)))


class Network(nn.Module):
    """Stage 2 is ``adaptive``; stage 1 is not, and its teacher is ``privileged``."""

    def __init__(self, adaptive: bool = True, privileged: bool = False) -> None:
        super().__init__()
        latent = 8 if adaptive or privileged else 0
        if latent:
            self.env_mlp = _units(9, 256, 128, 8)
        if adaptive:
            self.adapt_tconv = Adaptation()
        self.actor_mlp = _units(96 + latent, 512, 256, 128)
        self.value, self.mu = nn.Linear(128, 1), nn.Linear(128, 16)
        self.sigma = nn.Parameter(torch.zeros(16))
        self.adaptive = adaptive

    def forward(self, seen: Tensor, history: Tensor) -> Tensor:
        """Mean action, (batch, 16)."""
        if self.adaptive:
            seen = torch.cat([seen, self.adapt_tconv(history)], dim=-1)
        result: Tensor = self.mu(self.actor_mlp['mlp'](seen))
        return result


class Statistics(nn.Module):
    """Mean and variance of what a network has seen: here of joints all over their range."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        frame = torch.cat([torch.zeros(16), (UPPER + LOWER) / 2]).double()
        mean = frame.repeat(shape[0] // 32) if len(shape) == 1 else frame.repeat(shape[0], 1)
        self.register_buffer('running_mean', mean + 0.2 * torch.rand(*shape, dtype=torch.float64) - 0.1)
        self.register_buffer('running_var', 0.1 + 0.2 * torch.rand(*shape, dtype=torch.float64))
        self.register_buffer('count', torch.ones((), dtype=torch.float64))

    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalised and clipped."""
        normal = (x - self.running_mean.float()) / torch.sqrt(self.running_var.float() + 1e-5)
        return torch.clamp(normal, -5.0, 5.0)


class Deployment:
    """Step after step, as the peer's deployment does it: joint angles in, targets out, both in canonical order."""

    def __init__(self, seed: int = 0, adaptive: bool = True, privileged: bool = False) -> None:
        """Random weights; :meth:`restore` reads others."""
        torch.manual_seed(seed)
        self.model = Network(adaptive, privileged).eval()
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if name.endswith('bias'):
                    value.normal_(0, 0.1)
            self.model.mu.weight.mul_(3.0)
        self.seen, self.history = Statistics(96).eval(), Statistics(30, 32).eval()
        self._target: Tensor | None = None

    def save(self, path: Path) -> Path:
        """Write a checkpoint as the peer's training does."""
        parts: dict[str, Any] = {'model': self.model.state_dict(), 'running_mean_std': self.seen.state_dict()}
        if self.model.adaptive:
            parts['sa_mean_std'] = self.history.state_dict()
        torch.save(parts, path)
        return path

    def restore(self, path: Path) -> None:
        """Read the weights and statistics of a checkpoint of stage 2."""
        parts: Mapping[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
        self.model.load_state_dict(parts['model'])
        self.seen.load_state_dict(parts['running_mean_std'])
        self.history.load_state_dict(parts['sa_mean_std'])

    def follow(self, target: Float) -> None:
        """Continue from what was really commanded, rad, (16,): over thousands of steps single precision drifts."""
        self._target = torch.from_numpy(target[TO_PEER].astype(np.float32))[None]

    @torch.inference_mode()
    def step(self, position: Float, first_target: Float | None = None) -> Float:
        """The next target, rad, (16,), for joint angles, rad, (16,); the first target is the posture if not given."""
        q = torch.from_numpy(position[TO_PEER].astype(np.float32))[None]
        scaled = (2.0 * q - UPPER - LOWER) / (UPPER - LOWER)
        if self._target is None:
            first = position if first_target is None else first_target
            self._target = torch.from_numpy(first[TO_PEER].astype(np.float32))[None]
            self._frames = torch.cat([scaled, self._target], dim=-1)[:, None].repeat(1, 30, 1)
        else:
            newest = torch.cat([scaled, self._target], dim=-1)[:, None]
            self._frames = torch.cat([self._frames[:, 1:], newest], dim=1)
        action = torch.clamp(
            self.model(self.seen(self._frames[:, -3:].reshape(1, 96)), self.history(self._frames)), -1.0, 1.0)
        self._target = torch.clamp(self._target + action / 24, LOWER, UPPER)
        result: Float = self._target.numpy()[0][FROM_PEER].astype(np.float64)
        return result
