"""A slip detector that listens while another policy holds: the actor's episodes are untouched, words meet the truth."""

import numpy as np
from allegro_ai.evaluation.slip import Entrant
from allegro_ai.evaluation.slip_hold import FIRST_STEP, Listener, Observer, run_hold
from allegro_ai.tasks.policies import make_policy
from allegro_ai.tasks.tactile_hold import STEPS, TactileHold, episodes
from allegro_description.model import load_hand

HAND = load_hand('v5_sense', 'right')
SEEDS = [3, 4]


def test_listening_changes_nothing_and_says_one_word_a_step():
    actor, detector = make_policy(HAND, 'open_loop', {'share': 0.8}), make_policy(HAND, 'slip_threshold')
    listener = Listener(actor, detector)
    observer = Observer(listener, len(SEEDS))
    heard = TactileHold(HAND, episodes(HAND, SEEDS, 'L2')).run(listener, watch=observer)
    assert heard == TactileHold(HAND, episodes(HAND, SEEDS, 'L2')).run(actor)
    for k, outcome in enumerate(heard):
        if outcome.result.dropped_at_s is None:
            assert len(observer.said[k]) == STEPS - FIRST_STEP
        assert len(observer.said[k]) == len(observer.truth[k])
        assert set(observer.said[k]) <= {0.0, 1.0}


def test_an_object_that_falls_slips():
    detector = Entrant('detector', 'slip_threshold')
    (_, held), (_, fallen) = (
        run_hold('v5_sense', 'right', Entrant('actor', 'open_loop', {'share': share}), detector, [9], 'L0', 'train')[0]
        for share in (1.0, 0.0))
    assert held.mean() < 0.1
    assert np.flatnonzero(fallen).size > held.sum()


def test_a_detector_that_needs_the_answer_of_another_task_says_nothing():
    actor, oracle = Entrant('actor', 'open_loop', {'share': 0.5}), Entrant('oracle', 'slip_oracle')
    assert run_hold('v5_sense', 'right', actor, oracle, [9], 'L0', 'train') == []
