"""A firmly held object stays where it is: policies must not learn to fight the solver."""

import numpy as np
import pytest
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.simulation import creep as creeping
from allegro_description.simulation import plant as plants
from allegro_description.simulation.creep import creep, main

HAND = load_hand()


def rates(seconds=4.0):
    return np.array([creep(HAND, seed, seconds).rate_mm_min for seed in range(6)])


def test_held_objects_do_not_creep():
    rows = [creep(HAND, seed, 4.0) for seed in range(6)]
    assert all(row.held for row in rows)
    # a third of a millimetre, and at worst one, within the 4.4 s of an episode's disturbances
    assert np.median([row.rate_mm_min for row in rows]) < 10.0
    assert max(row.rate_mm_min for row in rows) < 25.0
    assert max(row.turn_deg for row in rows) < 6.0


def test_the_measure_sees_soft_friction(monkeypatch):
    firm = np.median(rates())

    def soft(*args, **options):
        model = original(*args, **options)
        model.opt.impratio = 1.0
        return model

    original = plants.model_for
    monkeypatch.setattr(plants, 'model_for', soft)
    assert np.median(rates()) > 3.0 * firm


def test_the_command_prints_a_line_per_object(capsys):
    assert main(['--seeds', '2', '--seconds', '0.5']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert 'mm/min' in lines[-1]
    assert main(['--seconds', '0']) == 2
    with pytest.raises(ConfigError, match='seconds'):
        creeping.creep(HAND, 0, -1.0)
