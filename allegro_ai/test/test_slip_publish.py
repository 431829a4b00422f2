"""From students to a bundle: the median ships, its slip probability is part of the contract, bars are judged."""

import numpy as np
import pytest
from allegro_ai.bundle import load_bundle
from allegro_ai.observation import ObservationSpec
from allegro_ai.tasks.slip_arrest import Grips
from allegro_ai.training import slip_publish
from allegro_ai.training.layout import make_layout
from allegro_ai.training.slip_policy import save_student, student_terms
from allegro_ai.training.slip_publish import BASELINES, publish_slip, students
from allegro_ai.training.slip_settings import SlipSettings
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

from allegro_ai import golden

HAND = load_hand('v5_sense', 'right')
HIDDEN = 64


class NoWorkers:
    """Nothing is run."""

    count = 1


def weights(touch, seed):
    """A network of the right shape, untrained."""
    rng, width = np.random.default_rng(seed), make_layout(HAND, student_terms(touch), 1).width
    shapes = {'normaliser.mean': (width,), 'normaliser.scale': (width,), 'encoder.weight': (HIDDEN, width),
              'encoder.bias': (HIDDEN,), 'cell.weight_ih_l0': (3 * HIDDEN, HIDDEN), 'cell.bias_ih_l0': (3 * HIDDEN,),
              'cell.weight_hh_l0': (3 * HIDDEN, HIDDEN), 'cell.bias_hh_l0': (3 * HIDDEN,), 'head.weight': (2, HIDDEN),
              'head.bias': (2,)}
    drawn = {name: rng.normal(0.0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    return {**drawn, 'normaliser.scale': np.ones(width, np.float32)}


def row(name, rate, n=40):
    """A row of the table as the evaluation makes it."""
    won = round(rate * n)
    counted = {'count': won, 'n': n, 'rate': rate, 'ci95': [max(rate - 0.1, 0.0), min(rate + 0.1, 1.0)]}
    tells = None if name in ('keep the grip', 'full squeeze') or 'oracle' in name else {
        'auroc': 0.93, 'f1': 0.5, 'false_alarms_per_min': 2.0}
    return {'name': name, 'n': n, 'success': counted, 'held': counted, 'arrested': counted, 'calm': counted,
            'slip_mm': {'median': 4.0, 'p95': 20.0}, 'latency_s': {'median': 0.14, 'p95': 0.4},
            'squeeze': {'median': 1.5, 'p95': 3.0}, 'events': {}, 'detector': tells,
            'episodes': [{'success': k < won} for k in range(n)]}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    paths = []
    for touch in (True, False):
        for seed in (0, 1, 2):
            paths.append(tmp_path / f'slip_{"touch" if touch else "no_touch"}_seed{seed}.npz')
            save_student(paths[-1], HAND, SlipSettings(seed=seed, touch=touch), weights(touch, seed),
                         [{'round': 1.0, 'seconds': 60.0, 'episodes': 100.0}])
    rates = {b.name: 0.3 for b in BASELINES} | {
        f'student, {arm} touch, seed {seed}': rate
        for arm, values in (('with', (0.7, 0.5, 0.6)), ('without', (0.4, 0.3, 0.5)))
        for seed, rate in enumerate(values)}

    def table(hand, entrants, known, workers, *, object_set, threshold, progress):
        return {'object_set': object_set, 'n': 40, 'rows': [row(e.name, rates[e.name]) for e in entrants]}

    seen = golden.random_observations(HAND, ObservationSpec(), 64, 12)
    monkeypatch.setattr(slip_publish, '_observations', lambda *args: {
        name: np.concatenate([o[name] for o in seen]) for name in seen[0]})
    monkeypatch.setattr(slip_publish, 'evaluate_slip', table)
    monkeypatch.setattr(slip_publish, 'grips_of', lambda *args, **kwargs: {3: Grips(0.25, 0.33, 0.064)})
    monkeypatch.setattr(slip_publish, 'hold_alarms', lambda *args, **kwargs: {
        'student, with touch, seed 2': {'per_min': 0.4}})
    return paths


def test_the_median_student_ships_with_its_slip_probability(runs, tmp_path):
    folder = tmp_path / 'slip_arrest_student'
    publish_slip(folder, HAND, students(runs, HAND), NoWorkers(), seeds=10)
    bundle = load_bundle(folder, HAND)
    assert bundle.contract['provenance']['seed'] == 2
    head = bundle.contract['evaluation']['headline']
    assert (head['success'], head['no_touch']['success'], head['set']) == (0.6, 0.4, 'H2')
    assert head['touch_gain']['difference'] == pytest.approx(0.2)
    assert [e['name'] for e in bundle.contract['extra_outputs']] == ['slip_probability']
    policy = bundle.policy('numpy')
    observation = {name: np.ones((1, size), np.float32) for name, size in zip(
        *(getattr(make_layout(HAND, student_terms(True), 1), part) for part in ('terms', 'sizes')), strict=True)}
    first = policy.act(observation)
    assert 0.0 < policy.extra['slip_probability'][0, 0] < 1.0
    assert not np.array_equal(policy.act(observation), first), 'its memory is part of the contract'
    card = (folder / 'MODEL_CARD.md').read_text()
    assert 'median slip at most 6 mm: 4.00 mm (met)' in card
    assert 'median latency at most 100 ms: 140.00 ms (not met)' in card
    assert 'false alarms on TactileHold at most 1 a minute: 0.40 (met)' in card


def test_both_arms_are_needed_and_each_run_counts_once(runs):
    with pytest.raises(ConfigError, match='no student without touch'):
        students(runs[:3], HAND)
    with pytest.raises(ConfigError, match='is given twice'):
        students([*runs, runs[0]], HAND)
