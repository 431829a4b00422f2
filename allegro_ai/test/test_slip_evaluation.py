"""The slip table: detector figures against brute force, false alarms by hand, and the table of real episodes."""

import numpy as np
import pytest
from allegro_ai.evaluation.slip import Entrant, auroc, evaluate_slip, false_alarms, markdown
from allegro_ai.tasks.slip_arrest import Grips
from allegro_description.model import load_hand
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows):
    score, truth = np.array([float(s) for s, _ in rows]), np.array([t for _, t in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in score[truth] for b in score[~truth]]
    assert auroc(score, truth) == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_alarms_count_once_and_not_while_something_slips():
    alarm, truth = np.zeros(200, dtype=bool), np.zeros(200, dtype=bool)
    alarm[10:20] = alarm[30] = True         # 0.2 s apart: one
    alarm[100:110] = True                   # another
    alarm[150:160] = truth[145:170] = True  # right
    assert false_alarms(alarm, truth) == 2
    assert false_alarms(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)) == 0


class Inline:
    """Runs at once what workers would run elsewhere."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future
        done = Future()
        done.set_result(function(*arguments))
        return done


def test_the_table_of_real_episodes():
    hand = load_hand('v5_sense', 'right')
    known = {3: Grips(0.25, 0.33, 0.064), 11: Grips(0.11, 0.17, 0.0255)}
    entrants = [Entrant('oracle', 'slip_oracle'), Entrant('threshold', 'slip_threshold', {'rate': 0.2})]
    document = evaluate_slip(hand, entrants, known, Inline(), object_set='train')
    oracle, threshold = document['rows']
    assert oracle['n'] == threshold['n'] == 2
    assert oracle['detector'] is None
    assert 0.0 <= threshold['detector']['f1'] <= 1.0
    assert sum(e['n'] for e in oracle['events'].values()) == 2
    text = markdown(document)
    assert text.count('\n') == 3
    assert '| oracle | 2 |' in text
