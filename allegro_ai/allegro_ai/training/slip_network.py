"""The student of SlipArrest in torch: one recurrent layer, how hard to squeeze, and how likely the object slips."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from allegro_ai.training.network import Normaliser

HIDDEN = 64
SQUEEZE_WEIGHT = 10.0       # a share that is off by 0.3 costs as much as a slip that is not seen


class SlipNetwork(nn.Module):
    """Rows of observations to a share of the torque limit (0 … 1) and the logit of slipping."""

    def __init__(self, width: int, hidden: int = HIDDEN) -> None:
        """Build it for rows of ``width`` numbers."""
        super().__init__()
        self.normaliser = Normaliser(width)
        self.encoder = nn.Linear(width, hidden)
        self.cell = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)

    def forward(self, rows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Whole sequences.

        Args:
            rows: (batch, steps, width).
            state: (1, batch, hidden), zeros if None.

        Returns:
            Shares (batch, steps), logits (batch, steps) and the last state.
        """
        encoded = nn.functional.elu(self.encoder(self.normaliser(rows)))
        hidden, last = self.cell(encoded, state)
        out = self.head(hidden)
        return torch.sigmoid(out[..., 0]), out[..., 1], last


def weights_of(network: SlipNetwork) -> dict[str, NDArray[np.float32]]:
    """Its numbers by the names of torch, as plain arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def fit(
    network: SlipNetwork, optimiser: torch.optim.Optimizer, rows: Tensor, share: Tensor, slipping: Tensor,
    counts: Tensor, *, epochs: int, batch: int, generator: torch.Generator,
) -> tuple[float, float]:
    """Learn from whole episodes; returns the last epoch's losses of the share and of the slip label.

    Args:
        network: what learns.
        optimiser: of its parameters.
        rows: (episodes, steps, width).
        share: what the teacher would do, (episodes, steps).
        slipping: 1 where the object slipped within the last 60 ms, (episodes, steps).
        counts: 1 for steps under the policy, 0 for those before and after, (episodes, steps).
        epochs: passes over all episodes.
        batch: episodes per step.
        generator: order of the episodes.
    """
    losses = (0.0, 0.0)
    for _ in range(epochs):
        order = torch.randperm(len(rows), generator=generator)
        total = np.zeros(2)
        for begin in range(0, len(order), batch):
            pick = order[begin:begin + batch]
            guess, logit, _ = network(rows[pick])
            weight = counts[pick] / counts[pick].sum().clamp(min=1.0)
            squeeze = ((guess - share[pick]) ** 2 * weight).sum()
            slip = (nn.functional.binary_cross_entropy_with_logits(logit, slipping[pick], reduction='none')
                    * weight).sum()
            optimiser.zero_grad()
            (SQUEEZE_WEIGHT * squeeze + slip).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            total += np.array([float(squeeze.detach()), float(slip.detach())]) * len(pick) / len(rows)
        losses = (float(total[0]), float(total[1]))
    return losses
