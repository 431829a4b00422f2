"""A network in HORA's architecture and names with random weights, and a step of its deployment, in plain torch."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)

TO_PEER = np.r_[0:4, 12:16, 4:8, 8:12]
"""Index, middle, ring, thumb to index, thumb, middle, ring."""
LOWER = torch.tensor([-0.47, -0.196, -0.174, -0.227, 0.263, -0.105, -0.189, -0.162,
                      -0.47, -0.196, -0.174, -0.227, -0.47, -0.196, -0.174, -0.227])
UPPER = torch.tensor([0.47, 1.61, 1.709, 1.618, 1.396, 1.163, 1.644, 1.719,
                      0.47, 1.61, 1.709, 1.618, 0.47, 1.61, 1.709, 1.618])


def stack(*sizes):
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ELU())]
    return nn.ModuleDict({'mlp': nn.Sequential(*layers)})


class Adaptation(nn.Module):
    def __init__(self):
        super().__init__()
        self.channel_transform = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.temporal_aggregation = nn.Sequential(
            nn.Conv1d(32, 32, 9, stride=2), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.ReLU())
        self.low_dim_proj = nn.Linear(96, 8)

    def forward(self, history):
        channels = self.channel_transform(history).transpose(1, 2)
        return torch.tanh(self.low_dim_proj(self.temporal_aggregation(channels).flatten(1)))


class Peer(nn.Module):
    """stage 2: adapts from the history; stage 1 without: ``adaptive=False``; a teacher: ``privileged=True`` too."""

    def __init__(self, adaptive=True, privileged=False):
        super().__init__()
        latent = 8 if adaptive or privileged else 0
        if latent:
            self.env_mlp = stack(9, 256, 128, 8)
        if adaptive:
            self.adapt_tconv = Adaptation()
        self.actor_mlp = stack(96 + latent, 512, 256, 128)
        self.value, self.mu = nn.Linear(128, 1), nn.Linear(128, 16)
        self.sigma = nn.Parameter(torch.zeros(16))

    def forward(self, seen, history):
        if hasattr(self, 'adapt_tconv'):
            seen = torch.cat([seen, self.adapt_tconv(history)], dim=-1)
        return self.mu(self.actor_mlp['mlp'](seen))


class Statistics(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.register_buffer('running_mean', torch.rand(*shape, dtype=torch.float64) * 0.6 - 0.1)
        self.register_buffer('running_var', torch.rand(*shape, dtype=torch.float64) * 0.2 + 0.01)
        self.register_buffer('count', torch.ones((), dtype=torch.float64))

    def forward(self, x):
        normal = (x - self.running_mean.float()) / torch.sqrt(self.running_var.float() + 1e-5)
        return torch.clamp(normal, -5.0, 5.0)


class Deployment:
    """One step after the other, as the peer's deployment does it: joint angles in, targets out, canonical order."""

    def __init__(self, seed=0, adaptive=True, privileged=False):
        torch.manual_seed(seed)
        self.model = Peer(adaptive, privileged).eval()
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                if name.endswith('bias'):
                    value.normal_(0, 0.1)
            self.model.mu.weight.mul_(3.0)
        self.seen, self.history = Statistics(96).eval(), Statistics(30, 32).eval()
        self.target = None

    def save(self, path: Path):
        parts = {'model': self.model.state_dict(), 'running_mean_std': self.seen.state_dict()}
        if hasattr(self.model, 'adapt_tconv'):
            parts['sa_mean_std'] = self.history.state_dict()
        torch.save(parts, path)
        return path

    @torch.inference_mode()
    def step(self, position: np.ndarray, first_target: np.ndarray | None = None) -> np.ndarray:
        """The next target, rad, (16,), for joint angles, rad, (16,); the first target is the posture if not given."""
        q = torch.from_numpy(position[TO_PEER].astype(np.float32))[None]
        scaled = (2.0 * q - UPPER - LOWER) / (UPPER - LOWER)
        if self.target is None:
            first = position if first_target is None else first_target
            self.target = torch.from_numpy(first[TO_PEER].astype(np.float32))[None]
            self.frames = torch.cat([scaled, self.target], dim=-1)[:, None].repeat(1, 30, 1)
        else:
            newest = torch.cat([scaled, self.target], dim=-1)[:, None]
            self.frames = torch.cat([self.frames[:, 1:], newest], dim=1)
        self.action = torch.clamp(
            self.model(self.seen(self.frames[:, -3:].reshape(1, 96)), self.history(self.frames)), -1.0, 1.0)
        self.target = torch.clamp(self.target + self.action / 24, LOWER, UPPER)
        return self.target.numpy()[0][np.argsort(TO_PEER)]
