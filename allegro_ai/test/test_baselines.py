"""Baselines: what each reacts to, that memory lies in the last action only, and that numbers are checked."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from allegro_ai.evaluation import tuning
from allegro_ai.evaluation.tuning import TuneConfig, tune
from allegro_ai.evaluation.tuning_commands import keep
from allegro_ai.observation import GRIP_CLASSES, terms
from allegro_ai.tasks import baselines
from allegro_ai.tasks.baselines import BASELINES, SPACES, arguments_of
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.privileged import privileged_names
from allegro_description.errors import ConfigError, UnknownName
from allegro_description.model import load_hand

HAND = load_hand('v5_sense', 'right')
QUIET = {'share_fragile': 0.2, 'share_normal': 0.4, 'share_robust': 0.6}
REFLEX = {**QUIET, 'threshold': 0.3, 'gain': 0.5, 'loss': 0.3, 'decay': 0.1, 'kpa_per_n': 10.0, 'relief': 0.2}


def observation(grip: str = 'normal', share: float = 0.0, n: int = 1) -> dict[str, np.ndarray]:
    """Touching at 5 kPa with every tip, at rest, after an action of ``share``."""
    found = {name: np.zeros((n, len(term.elements)), dtype=np.float32) for name, term in terms(HAND).items()}
    found['tactile_tip_pressure'][:] = 5.0
    found['tactile_tip_contact'][:] = found['tactile_valid'][:] = 1.0
    found['grip_class'][:, GRIP_CLASSES.index(grip)] = 1.0
    found['last_action'][:] = share * HAND.flexion
    found['privileged'] = np.zeros((n, len(privileged_names(HAND))), dtype=np.float32)
    return found


def see(found: dict[str, np.ndarray], term: str, value: float) -> None:
    """Set privileged numbers of a term."""
    for k, name in enumerate(privileged_names(HAND)):
        if name.partition('/')[0] == term:
            found['privileged'][:, k] = value


def shares(action: np.ndarray) -> np.ndarray:
    """What each finger squeezes with (it must be one number per finger)."""
    rows = []
    for finger in HAND.fingers:
        mine = [k for k, name in enumerate(HAND.joint_names) if name in finger.joints and HAND.flexion[k]]
        assert np.ptp(action[0, mine]) < 1e-9
        rows.append(action[0, mine[0]])
    return np.array(rows)


@pytest.mark.parametrize('name', sorted(BASELINES.values()))
def test_every_baseline_acts_within_bounds(name: str) -> None:
    """Whatever it sees, an action is finite and in [-1, 1], and says the same for a batch as for one."""
    policy, rng = make_policy(HAND, name), np.random.default_rng(1)
    one = observation(n=6)
    for key, value in one.items():
        if key not in ('grip_class', 'tactile_valid', 'tactile_tip_contact'):
            value[:] = rng.uniform(0.0, 1.0, value.shape)
    action = policy.act(one)
    assert action.shape == (6, len(HAND.joints))
    assert np.isfinite(action).all()
    assert (np.abs(action) <= 1.0 + 1e-9).all()
    alone = policy.act({key: value[2:3] for key, value in one.items()})
    np.testing.assert_allclose(alone[0], action[2], atol=1e-6)


def test_squeezes_are_what_their_names_say() -> None:
    """B0 nothing, B2 all, B1 its share, B1g the share of the class; never a posture joint."""
    for name, arguments, expected in (('freeze', {}, 0.0), ('max_squeeze', {}, 1.0), ('open_loop', {'share': 0.3}, 0.3),
                                      ('open_loop_by_grip', QUIET, 0.2)):
        action = make_policy(HAND, name, arguments).act(observation('fragile'))
        np.testing.assert_allclose(action[0], expected * HAND.flexion, atol=1e-6)


def test_finger_reflex_moves_the_finger_that_felt_it() -> None:
    """A jump at one tip raises that finger (B4) or all of them (B3); at rest both stay at their base."""
    calm, jump = observation(share=0.4), observation(share=0.4)
    jump['tactile_tip_rate'][0, 1] = 1.0
    for name, moved in (('finger_reflex', [1]), ('tactile_reflex', [0, 1, 2, 3])):
        policy = make_policy(HAND, name, REFLEX)
        np.testing.assert_allclose(shares(policy.act(calm)), 0.4, atol=1e-6)
        raised = shares(policy.act(jump)) > 0.41
        assert np.flatnonzero(raised).tolist() == moved


def test_reflex_answers_a_lost_contact_decays_and_relieves() -> None:
    """Contact lost: up. Above the base: back down. Pressed too hard: looser. A dead cell says nothing."""
    policy = make_policy(HAND, 'finger_reflex', REFLEX)
    lost = observation(share=0.4)
    lost['tactile_tip_rate'][0, 2], lost['tactile_tip_contact'][0, 2] = -2.0, 0.0
    assert shares(policy.act(lost))[2] == pytest.approx(0.4 + 0.3, abs=1e-6)
    assert shares(policy.act(observation(share=0.9)))[0] == pytest.approx(0.9 - 0.1 * 0.5, abs=1e-6)
    hard = observation(share=0.4)
    hard['tactile_tip_pressure'][0, 0] = 200.0      # 10 N at 10 kPa/N is the limit
    assert shares(policy.act(hard))[0] == pytest.approx(0.4 - 0.2, abs=1e-6)
    dead = observation(share=0.4)
    dead['tactile_tip_rate'][0, 1], dead['tactile_valid'][0, 1] = 1.5, 0.0
    np.testing.assert_allclose(shares(policy.act(dead)), 0.4, atol=1e-6)


def test_tracking_reflex_uses_no_touch() -> None:
    """B5 reacts to joints that are moved, and to nothing that a cell says."""
    policy = make_policy(HAND, 'tracking_reflex', {**QUIET, 'threshold': 0.01, 'gain': 10.0, 'decay': 0.0,
                                                   'yielding': 0.0})
    calm, touched, moved = observation(share=0.4), observation(share=0.4), observation(share=0.4)
    for key, value in touched.items():
        if key.startswith('tactile'):
            value[:] = 1.7
    np.testing.assert_array_equal(policy.act(calm), policy.act(touched))
    moved['joint_delta'][0, [k for k, n in enumerate(HAND.joint_names) if n in HAND.fingers[1].joints]] = 0.03
    assert np.flatnonzero(shares(policy.act(moved)) > 0.41).tolist() == [1]


def test_oracle_plans_with_what_only_it_knows() -> None:
    """More weight, more push and less friction ask for more force; a tip above its cap is loosened."""
    numbers = {**QUIET, 'cap': 0.8, 'margin': 1.0, 'feedback': 0.3, 'alarm': 0.0, 'coupling': 0.5, 'splay': 0.0,
               'opposition': 0.0, 'twist': 0.0, 'thumb': 1.0, 'proximal': 1.0, 'distal': 1.0}
    policy = make_policy(HAND, 'oracle', numbers)
    assert policy.privileged  # type: ignore[attr-defined]

    def asked(**facts: float) -> float:
        found = observation(share=0.5)
        for term, value in {'object_mass': 0.2, 'friction': 0.8, 'gravity': 5.0, 'force_limit': 10.0,
                            'tip_force': 1.0, **facts}.items():
            see(found, term, value)
        return float(shares(policy.act(found))[0])

    base = asked()
    assert asked(object_mass=0.4) > base
    assert asked(push=3.0) > base
    assert asked(friction=0.3) > base
    assert asked(payload=0.2) > base
    assert asked(tip_force=9.0) < 0.4       # below even the base of the class


def test_numbers_are_checked_and_come_from_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given numbers win over found ones; what is unknown or out of range is refused."""
    monkeypatch.setattr(baselines, 'tuned', lambda: {'open_loop': {'arguments': {'share': 0.7}}})
    assert arguments_of('open_loop', {}) == {'share': 0.7}
    assert arguments_of('open_loop', {'share': 0.2}) == {'share': 0.2}
    with pytest.raises(ConfigError, match='no argument'):
        arguments_of('open_loop', {'shares': 0.2})
    with pytest.raises(ConfigError, match='allowed: 0 … 1'):
        arguments_of('open_loop', {'share': 1.2})


def test_kept_numbers_fit_the_spaces() -> None:
    """Every result that ships is of a known baseline, within its ranges, and says how it was found."""
    for name, found in baselines.tuned().items():
        baseline = 'oracle' if name == baselines.FORESIGHT else name
        for arguments in found['plans'] if name == baselines.FORESIGHT else [found['arguments']]:
            assert arguments_of(baseline, arguments) == arguments
            assert set(arguments) == set(SPACES[baseline])
        assert name in found['command']
        assert found['object_set'] == 'train'


def test_search_is_seeded_and_finds_what_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a made-up score with one top, the search comes near it, the same way again; every round has fresh episodes."""
    asked: list[range] = []

    def scores(hand: object, name: str, candidates: list[dict[str, float]], offsets: range, workers: object) -> object:
        asked.append(offsets)
        return np.array([1.0 - sum((c[f'share_{g}'] - top) ** 2 for g, top in zip(GRIP_CLASSES, (0.2, 0.5, 0.9),
                                                                                 strict=True)) for c in candidates])

    monkeypatch.setattr(tuning, '_scores', scores)
    monkeypatch.setattr(baselines, 'tuned', dict)
    config = TuneConfig(generations=12, population=24, episodes=5, final=100, seed=3)
    found = [tune(HAND, 'open_loop_by_grip', config, None) for _ in range(2)]  # type: ignore[arg-type]
    assert found[0]['arguments'] == found[1]['arguments']
    assert list(found[0]['arguments'].values()) == pytest.approx([0.2, 0.5, 0.9], abs=0.06)
    assert found[0]['success'] >= found[0]['success_before']
    first = asked[:len(asked) // 2]
    assert all(a.stop == b.start for a, b in itertools.pairwise(first))
    with pytest.raises(UnknownName):
        tune(HAND, 'freeze', config, None)  # type: ignore[arg-type]


def test_results_are_kept_beside_each_other(tmp_path: Path) -> None:
    """A new result leaves the others alone; a file that is none is refused."""
    path = tmp_path / 'baselines.json'
    keep(path, 'oracle', {'success': 1})
    keep(path, 'open_loop', {'success': 2})
    keep(path, 'oracle', {'success': 3})
    assert json.loads(path.read_text()) == {'open_loop': {'success': 2}, 'oracle': {'success': 3}}
    path.write_text('[1]')
    with pytest.raises(ConfigError, match='--output'):
        keep(path, 'oracle', {})
