"""What a kill cost: every message handed over is looked for, and a gap anywhere counts."""

from itertools import pairwise

import pytest
from allegro_bench.evidence.recorder_kills import Loss, judge
from allegro_bench.recording import BagWriter
from allegro_description.errors import ConfigError
from bag_making import BEGIN, CLOUD, HAND, MS, STATE, points, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JOINTS, TOUCH = '/joint_states', '/tactile/points'
SENT = sorted([*((JOINTS, BEGIN + 3 * k * MS) for k in range(40)),
               *((TOUCH, BEGIN + (17 * k + 1) * MS) for k in range(7))], key=lambda m: m[1])
LAST = SENT[-1][1]


def bag(folder, messages):
    """A bag that was not closed, with these messages."""
    writer = BagWriter(folder, {'hand': HAND.name})
    writer.add_topic(JOINTS, STATE)
    writer.add_topic(TOUCH, CLOUD)
    for topic, stamp in messages:
        writer.write(topic, state(stamp, [0.0] * 16) if topic == JOINTS else points(stamp, [2000.0] * 16), stamp)
    writer.flush()
    return folder


def test_nothing_missing_is_nothing_lost(tmp_path):
    assert judge(bag(tmp_path / 'bag', SENT), SENT) == Loss(0.0, 0, len(SENT))


def test_three_seconds_missing_in_the_middle_are_lost(tmp_path):
    sent = [(JOINTS, BEGIN + 100 * k * MS) for k in range(60)]
    loss = judge(bag(tmp_path / 'bag', sent[:20] + sent[50:]), sent)
    assert (loss.missing, loss.seconds) == (30, pytest.approx(3.1))


@pytest.mark.parametrize(('place', 'seconds'), [(0, 0.003), (10, 0.006), (39, 0.003)])
def test_a_single_message_is_a_loss(tmp_path, place, seconds):
    sent = [m for m in SENT if m[0] == JOINTS]
    loss = judge(bag(tmp_path / 'bag', sent[:place] + sent[place + 1:]), sent)
    assert (loss.missing, loss.seconds) == (1, pytest.approx(seconds))


def test_a_topic_that_is_gone_is_a_loss_though_the_other_is_whole(tmp_path):
    loss = judge(bag(tmp_path / 'bag', [m for m in SENT if m[0] == JOINTS]), SENT)
    assert (loss.missing, loss.seconds) == (7, pytest.approx((LAST - BEGIN) / 1e9 - 0.001))


def test_a_message_that_nobody_handed_over_is_found(tmp_path):
    with pytest.raises(ConfigError, match='nobody handed over'):
        judge(bag(tmp_path / 'bag', SENT), SENT[:5] + SENT[6:])
    loss = judge(bag(tmp_path / 'other', SENT), SENT[:-1])
    assert loss == Loss(0.0, 0, len(SENT) - 1), 'killed between the taking and the telling'


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gone=st.sets(st.integers(0, len(SENT) - 1)))
def test_lost_is_the_widest_distance_between_neighbours_kept_that_others_lay_between(tmp_path_factory, gone):
    loss = judge(bag(tmp_path_factory.mktemp('kill') / 'bag', [m for k, m in enumerate(SENT) if k not in gone]), SENT)
    missing = {SENT[k] for k in gone}
    widest = 0
    for topic in (JOINTS, TOUCH):
        all_of_it = [m for m in SENT if m[0] == topic]
        kept = [m[1] for m in all_of_it if m not in missing]
        edges = [all_of_it[0][1], *kept, LAST]
        for near, far in pairwise(edges):
            if any(m in missing and near <= m[1] <= far for m in all_of_it):
                widest = max(widest, far - near)
    assert (loss.missing, loss.seconds) == (len(gone), pytest.approx(widest / 1e9))
