"""Make a policy bundle of a HORA-architecture checkpoint, with everything that its programs keep in code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import BundleError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai import golden, integrity, ood
from allegro_ai.bundle import Bundle
from allegro_ai.contract import check_controller
from allegro_ai.export import term_entry, write_bundle
from allegro_ai.importing import hora_network as hora
from allegro_ai.importing.hora_checkpoint import read_network
from allegro_ai.importing.hora_graph import INPUTS, OPSET, build_graph
from allegro_ai.importing.hora_network import HoraNetwork
from allegro_ai.observation import ObservationSpec

Float = NDArray[np.float64]

_GOLDEN_STEPS = 34
"""Longer than the history, so that nothing of its first filling is left at the end."""

_WARNING = ('imported, never run on a hand of this suite: joint zeros, gains and limits of the hand may differ from '
            'those of training. Begin in shadow mode')


def import_hora(
    checkpoint: Path,
    folder: Path,
    model: HandModel,
    *,
    stage: int | None = None,
    name: str = 'hora_rotation',
    version: str = '0.1.0',
    licence: str = 'LicenseRef-unknown',
    accept_gains: bool = False,
    replace: bool = False,
) -> Bundle:
    """Read the checkpoint, write the bundle, and load it as the node would.

    Args:
        checkpoint: file of ``torch.save``.
        folder: where the bundle shall lie.
        model: the hand it shall run on.
        stage: 1 or 2, if the file must be of that stage.
        name: name of the bundle.
        version: its version.
        licence: licence of the weights.
        accept_gains: whether the hand's gains may differ from those of training.
        replace: whether an existing bundle may be replaced.

    Raises:
        BundleError: the checkpoint, the hand or its gains do not fit, or the folder exists.
        MissingDependency: torch is absent.
    """
    network = read_network(checkpoint, stage)
    order = hora.joint_order(model)
    contract = hora_contract(network, model, order, name=name, version=version, licence=licence,
                             source=integrity.sha256(checkpoint.read_bytes()))
    _check_gains(contract, model, accept_gains)
    observations = golden.random_observations(model, ObservationSpec(), golden.MINIMUM, _GOLDEN_STEPS)
    facts = {
        'architecture': f'HORA, stage {2 if network.adaptive else 1}',
        'checkpoint_sha256': contract['provenance']['commit'], 'finger_order': list(hora.FINGERS),
        'canonical_index_of_each_joint': order.tolist(), 'lags': hora.LAGS, 'history': network.steps,
        'angle_lower_rad': list(hora.LOWER), 'angle_upper_rad': list(hora.UPPER),
        'action_scale_rad': hora.ACTION_SCALE_RAD, 'rate_hz': hora.RATE_HZ,
        'kp': hora.KP, 'kd': hora.KD, 'torque_limit_nm': hora.TORQUE_LIMIT_NM,
        'statistics_clip': hora.BOUND, 'statistics_epsilon': hora.EPSILON,
        'running_mean': network.mean.tolist(), 'running_var': network.variance.tolist(),
    }
    return write_bundle(
        folder, model, contract, build_graph(network, order),
        golden_arrays=golden.record(_Original(network, order), observations, INPUTS),
        ood_arrays=_statistics(network, order),
        evaluation={'status': 'not evaluated', 'warning': _WARNING}, train=facts, replace=replace,
        licence=f'{licence}\n\nImported from a checkpoint; whoever trained it decides on the licence of the weights.\n')


def hora_contract(
    network: HoraNetwork, model: HandModel, order: NDArray[np.intp], *, name: str, version: str, licence: str,
    source: str,
) -> dict[str, Any]:
    """``policy.yaml`` without ``integrity``; ``source`` is the hash of the checkpoint."""
    back = np.argsort(order)
    lower, upper, pose = (np.array(values)[back] for values in (hora.LOWER, hora.UPPER, hora.START_POSE))
    start = np.clip(pose, model.lower, model.upper).tolist()
    return {
        'schema_version': 1,
        'bundle': {'name': name, 'version': version, 'licence': licence,
                   'created': datetime.now(UTC).strftime('%Y-%m-%d'), 'authors': ['whoever trained the checkpoint']},
        'hand': {'profile': model.name, 'compatible': [], 'profile_sha256': integrity.hand_fingerprint(model)},
        'joints': list(model.joint_names),
        'runtime': {'rate_hz': hora.RATE_HZ, 'rate_tolerance': 0.1, 'latency_budget_ms': 10.0, 'opset': OPSET,
                    'providers': ['CPU'], 'history': {'kind': 'stack', 'steps': network.steps}, 'state': []},
        'inputs': [term_entry(model, term) for term in INPUTS],
        'observation': {k: float(getattr(ObservationSpec(), k)) for k in ObservationSpec.__slots__},
        'timing': {'pairing': 'obs[t+1] with target[t]', 'first_target': 'measured_position'},
        'output': {'name': 'action', 'shape': [hora.JOINTS], 'range': [-1, 1], 'elements': 'joints'},
        'action': {'semantics': 'position_delta', 'reference': 'previous_target',
                   'scale_rad': [hora.ACTION_SCALE_RAD] * hora.JOINTS, 'in_graph': ['clip'],
                   'lower_rad': np.maximum(lower, model.lower).tolist(),
                   'upper_rad': np.minimum(upper, model.upper).tolist(),
                   'in_node': ['clip', 'scale', 'add_reference', 'policy_limit', 'rate_limit', 'joint_limit'],
                   # A little above scale times rate, so that it never acts on what the policy asks for.
                   'rate_limit_rad_s': 1.2 * hora.ACTION_SCALE_RAD * hora.RATE_HZ, 'smoothing': 'none'},
        # No close: two periods that follow the measured posture, where its targets begin.
        'grasp': {'close_s': 0.1, 'close_torque_nm': 0.0, 'close_rate_rad_s': 0.1, 'opposed_pose': start},
        'controller': {'type': 'pd_position', 'kp': [hora.KP] * hora.JOINTS, 'kd': [hora.KD] * hora.JOINTS,
                       'torque_limit_nm': [hora.TORQUE_LIMIT_NM] * hora.JOINTS, 'tolerance': hora.GAIN_SPREAD,
                       'check': 'require_match'},
        'safety': {'start_pose': start, 'start_ramp_s': 4.0, 'stale_ms': 100.0, 'on_stale': 'hold',
                   'relax_after_s': 5.0, 'max_tip_kpa': 100.0, 'ood_warn': 3.0, 'ood_stop': 6.0, 'sustain_ticks': 5},
        'normalisation': {'location': 'in_graph', 'method': 'mean_std of the running statistics of training',
                          'clip': hora.BOUND},
        'golden': {'file': golden.FILE, 'tolerance': 1e-4},
        'ood': {'file': ood.FILE},
        'provenance': {'simulator': 'unknown', 'env': 'HORA in-hand rotation', 'commit': source, 'steps': 0, 'seed': 0,
                       'wall_s': 0.0, 'cpu': 'unknown', 'randomisation': 'train.yaml', 'touch_used': False},
        'evaluation': {'file': 'eval/closed_loop.json', 'headline': None, 'sim2real': _WARNING},
    }


def _check_gains(contract: dict[str, Any], model: HandModel, accept: bool) -> None:
    """Refuse other gains than those of training, or write down that they were accepted."""
    try:
        check_controller(contract, model.kp, model.kd, model.torque_limit, f'description of {model.name}')
    except BundleError as error:
        if not accept:
            raise BundleError(
                f'{error} The network was trained with kp {hora.KP:g} N·m/rad, kd {hora.KD:g} N·m·s/rad and at most '
                f'{hora.TORQUE_LIMIT_NM:g} N·m on every joint; {model.name} has kp {model.kp.min():.2g} … '
                f'{model.kp.max():.2g} and {model.torque_limit.min():.2g} … {model.torque_limit.max():.2g} N·m, so its '
                'fingers will yield more. If that shall be so, say --accept-gains; the bundle then names '
                'both') from error
        contract['controller'].update(
            kp=model.kp.tolist(), kd=model.kd.tolist(), torque_limit_nm=model.torque_limit.tolist(), tolerance=0.25,
            trained={'kp': hora.KP, 'kd': hora.KD, 'torque_limit_nm': hora.TORQUE_LIMIT_NM})


def _statistics(network: HoraNetwork, order: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """``ood.npz`` from the running statistics of the newest frame; nothing is known about correlations."""
    back = np.argsort(order)
    middle, half = (np.array(hora.UPPER) + hora.LOWER) / 2, (np.array(hora.UPPER) - hora.LOWER) / 2
    mean, std = network.mean[-hora.FRAME:], np.sqrt(network.variance[-hora.FRAME:])
    angle, target = slice(0, hora.JOINTS), slice(hora.JOINTS, hora.FRAME)
    centre = {'joint_position': (middle + half * mean[angle])[back], 'joint_target': mean[target][back]}
    scale = {'joint_position': (half * std[angle])[back], 'joint_target': std[target][back]}
    floor = ood.FLOOR['joint_position']
    return {'terms': np.array(INPUTS), 'mean': np.concatenate([centre[name] for name in INPUTS]),
            'scale': np.maximum(np.concatenate([scale[name] for name in INPUTS]), floor), 'whiten': np.eye(hora.FRAME)}


class _Original:
    """The plain evaluation as a :class:`allegro_ai.policy.Policy`: what the golden vectors are made with."""

    def __init__(self, network: HoraNetwork, order: NDArray[np.intp]) -> None:
        self._network, self._order, self._back = network, order, np.argsort(order)
        self._past: list[list[Float]] = []

    def reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """Forget the history of all."""
        self._past.clear()

    def act(self, observation: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Actions in canonical order; the first frame fills the history."""
        frame = [observation[name][:, self._order].astype(np.float64) for name in ('joint_position', 'joint_target')]
        steps = self._network.steps
        self._past = [*self._past, frame][-steps:] if self._past else [frame] * steps
        angle, target = (np.stack(values, axis=1) for values in zip(*self._past, strict=True))
        return self._network.act(angle, target)[:, self._back].astype(np.float32)
