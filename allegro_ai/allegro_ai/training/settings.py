"""Numbers of one training run of a network."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter


@dataclass(frozen=True, slots=True)
class Settings:
    """PPO with a warm start; what a run was made with is stored in its checkpoint."""

    seed: int = parameter(0, 'training seed', low=0, high=999)
    touch: bool = parameter(True, 'whether the policy may use touch')
    updates: int = parameter(320, 'policy updates', low=1, high=1_000_000)
    environments: int = parameter(64, 'episodes side by side', low=1, high=4096)
    horizon: int = parameter(64, 'control steps of each environment per update', low=1, high=4096)
    minibatch: int = parameter(1024, 'steps per gradient', low=1, high=1_000_000)
    epochs: int = parameter(4, 'passes over the steps of an update', low=1, high=100)
    learning_rate: float = parameter(2e-4, 'of Adam; falls to a tenth over the updates', low=1e-7, high=1.0)
    discount: float = parameter(0.98, 'of rewards per step', low=0.0, high=0.9999)
    trace: float = parameter(0.95, 'lambda of the advantages', low=0.0, high=1.0)
    clip: float = parameter(0.2, 'bound of the probability ratio', low=0.01, high=1.0)
    target_kl: float = parameter(0.02, 'stop the passes of an update at 1.5 times this divergence', low=1e-4, high=10.0)
    entropy: float = parameter(0.0, 'weight of the entropy bonus', low=0.0, high=1.0)
    log_noise: float = parameter(-1.8, 'first log of the standard deviation of actions', low=-5.0, high=1.0)
    steps: int = parameter(3, 'observations in a stack', low=1, high=50)
    encoder: int = parameter(32, 'features per finger', low=1, high=1024)
    hidden: int = parameter(128, 'width of the two layers of the trunk', low=1, high=4096)
    critic: int = parameter(256, 'width of the first layer of the critic; the second has half', low=2, high=4096)
    reward: str = parameter('budget-2', 'what training feels, see allegro_ai.training.shaping')
    teacher: str = parameter('grip_squeeze', 'policy to imitate first, by name or by path of a run; empty: none')
    warm_steps: int = parameter(320, 'control steps of each environment under the teacher and its imitator', low=8)
    critic_updates: int = parameter(6, 'updates that teach the critic only, after a warm start', low=0, high=10_000)
    segment: int = parameter(20, 'updates between checkpoints; each segment starts fresh episodes', low=1, high=10_000)
