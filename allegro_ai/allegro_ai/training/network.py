"""Actor and critic in torch. The actor sees what the hand sees; the critic sees the simulator's state as well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from allegro_ai.training.layout import CLIP, Layout


class Normaliser(nn.Module):
    """(x - mean) / std, bounded to ±:data:`CLIP`; both are fitted once, before learning, and then stay."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(width))
        self.register_buffer('scale', torch.ones(width))

    def fit(self, rows: np.ndarray) -> None:
        """Take mean and spread of rows (n, width); a number that hardly changes keeps the scale 1."""
        spread = rows.std(axis=0)
        self.mean.copy_(torch.as_tensor(rows.mean(axis=0), dtype=torch.float32))
        self.scale.copy_(torch.as_tensor(1.0 / np.where(spread < 1e-3, 1.0, spread), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Scaled rows."""
        return torch.clamp((x - self.mean) * self.scale, -CLIP, CLIP)


class Actor(nn.Module):
    """Shared finger encoder, then a trunk; the action is squashed to (-1, 1)."""

    fingers: Tensor
    hand: Tensor
    identity: nn.Parameter

    def __init__(self, layout: Layout, joints: int, encoder: int, hidden: Sequence[int]) -> None:
        """Build it with small weights in the last layer, so that it starts by doing nothing.

        Args:
            layout: what it sees.
            joints: how many it moves.
            encoder: features per finger.
            hidden: sizes of the trunk's layers.
        """
        super().__init__()
        count, each = layout.fingers.shape
        self.steps = layout.steps
        self.normaliser = Normaliser(layout.width)
        self.register_buffer('fingers', torch.as_tensor(layout.fingers.reshape(-1)))
        self.register_buffer('hand', torch.as_tensor(layout.hand))
        self.encoder = nn.Linear(each, encoder, bias=False)
        self.identity = nn.Parameter(torch.zeros(count, encoder))   # a bias per finger: the thumb is not the ring
        sizes = [count * encoder + len(layout.hand), *hidden]
        trunk = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.trunk = nn.ModuleList(trunk)
        self.head = nn.Linear(sizes[-1], joints)
        with torch.no_grad():
            for layer in (self.encoder, *trunk):
                nn.init.orthogonal_(layer.weight, np.sqrt(2.0))
            for layer in trunk:
                layer.bias.zero_()
            nn.init.orthogonal_(self.head.weight, 0.01)
            self.head.bias.zero_()

    def forward(self, stack: Tensor) -> Tensor:
        """Action of flat stacks (batch, steps * width)."""
        return torch.tanh(self.head(self.features(stack)))

    def features(self, stack: Tensor) -> Tensor:
        """What the last layer sees, (batch, hidden[-1])."""
        batch = len(stack)
        x = self.normaliser(stack.reshape(batch, self.steps, -1)).reshape(batch, -1)
        own = x.index_select(1, self.fingers).reshape(batch, len(self.identity), -1)
        features = nn.functional.elu(self.encoder(own) + self.identity).reshape(batch, -1)
        h = torch.cat([features, x.index_select(1, self.hand)], dim=1)
        for layer in self.trunk:
            h = nn.functional.elu(layer(h))
        return h


class Critic(nn.Module):
    """Features of public and privileged numbers; the value is a linear layer over them."""

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        """Build it for rows of ``width`` numbers."""
        super().__init__()
        self.normaliser = Normaliser(width)
        sizes = [width, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: Tensor) -> Tensor:
        """Features (batch, hidden[-1])."""
        features: Tensor = self.layers(self.normaliser(rows))
        return features


class ActorCritic(nn.Module):
    """Both, side by side without sharing, over one flat row: stack of observations, then the simulator's state."""

    def __init__(self, actor: Actor, critic: Critic, seen: int) -> None:
        """Join them; the first ``seen`` numbers of a row are the actor's."""
        super().__init__()
        self.actor, self.critic, self._seen = actor, critic, seen
        self.latent_dim_pi = actor.head.in_features
        self.latent_dim_vf = int(critic.layers[-2].out_features)  # type: ignore[arg-type]

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the action and of the value."""
        return self.forward_actor(rows), self.forward_critic(rows)

    def forward_actor(self, rows: Tensor) -> Tensor:
        """Features of the action."""
        return self.actor.features(rows[:, : self._seen])

    def forward_critic(self, rows: Tensor) -> Tensor:
        """Features of the value: the newest observation and the simulator's state."""
        newest = rows[:, self._seen - self.actor.normaliser.mean.numel():]
        features: Tensor = self.critic(newest)
        return features
