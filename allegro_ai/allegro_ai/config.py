"""Parameters of the policy node, declared once: ROS parameters, YAML, validation and README derive from here."""

from __future__ import annotations

from dataclasses import dataclass

from allegro_description.config import parameter

from allegro_ai.observation import GRIP_CLASSES

MODES = ('shadow', 'sim', 'live')


@dataclass(frozen=True, slots=True)
class GraspPolicyConfig:
    """Parameters of ``grasp_policy``."""

    model: str = parameter('v5_sense', 'hand model, the first part of a description in hands/')
    side: str = parameter('right', 'which hand it is', choices=('right', 'left'))
    prefix: str = parameter('', 'put before every joint and frame name in messages: two hands, one tree of frames')
    policy: str = parameter('tactile_hold_linear', 'policy bundle: the name of a shipped one, a folder, or a .tar.zst')
    backend: str = parameter('onnxruntime', 'inference backend, see `allegro-ai list`')
    mode: str = parameter(
        'sim', 'shadow: compute, command nothing; sim: command an emulated hand; live: command a real one',
        choices=MODES)
    grip: str = parameter('normal', 'how delicate the object is', choices=GRIP_CLASSES, live=True)
    driver: str = parameter(
        'hand_driver', 'name of the driver node whose torque share, speed and address are checked before anything is '
        'commanded; empty: not checked')
    require_signature: bool = parameter(False, 'run only bundles that a trusted key signed')
    trusted_keys: str = parameter(
        '', 'file of public keys that are trusted; empty: $ALLEGRO_TRUSTED_KEYS, then ~/.config/allegro/trusted_keys')
    warmup: int = parameter(200, 'inferences before the policy may run; their time is held to the budget',
                            low=10, high=100000)
