"""Fit between a sound bundle, this machine and the running driver; and the card that tells people about it."""

import copy
import time

import pytest
from ai_bundles import write_random_bundle
from allegro_ai.card import model_card, table
from allegro_ai.deployment import check_driver, warm_up
from allegro_ai.figures import Figures
from allegro_ai.grasp_loop import GraspLoop
from allegro_description.errors import BundleError, CommandRefused

GOOD = {'model': 'v5_sense', 'side': 'right', 'control_mode': 'host', 'torque_scale': 1.0,
        'max_target_speed': 4.0, 'address': '127.0.0.1:17000:18000'}


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp('deployment') / 'random_linear')


class Slow:
    """Wraps a policy and makes it late, always or only in the first round of a warm-up."""

    def __init__(self, policy, seconds, calls):
        self.policy, self.seconds, self.calls = policy, seconds, calls

    def reset(self, which=None):
        self.policy.reset(which)

    def act(self, observation):
        self.calls -= 1
        if self.calls >= 0:
            time.sleep(self.seconds)
        return self.policy.act(observation)


def test_a_machine_that_is_too_slow_is_refused(bundle):
    with pytest.raises(BundleError, match=r'inference takes .* budget of random_linear-0\.0\.1 is 5 ms'):
        warm_up(bundle, Slow(bundle.policy('numpy'), 0.006, 10**6), 10)


def test_a_stumble_at_the_start_is_not_held_against_the_policy(bundle):
    slow = Slow(bundle.policy('numpy'), 0.05, 10)
    assert warm_up(bundle, slow, 10) < 50.0
    assert slow.calls < 0, 'it was measured again'


@pytest.mark.parametrize(('change', 'error', 'message'), [
    ({'torque_scale': None}, CommandRefused, 'does not tell its torque_scale'),
    ({'side': 'left'}, CommandRefused, 'the driver moves v5_sense_left'),
    ({'control_mode': 'onboard'}, CommandRefused, 'control_mode of the driver is onboard'),
    ({'torque_scale': 0.5}, BundleError, 'torque_limit_nm'),
    ({'max_target_speed': 1.0}, CommandRefused, 'raise max_target_speed'),
    ({'address': '192.168.0.50:7000'}, CommandRefused, 'mode is sim'),
    ({'address': ''}, CommandRefused, 'factory address'),
    ({'address': 'nonsense'}, CommandRefused, 'mode is sim'),
])
def test_a_driver_that_does_not_fit_is_named(bundle, change, error, message):
    check_driver(bundle, 'sim', GOOD)
    with pytest.raises(error, match=message):
        check_driver(bundle, 'sim', {**GOOD, **change})


def test_live_is_not_bound_to_this_machine(bundle):
    check_driver(bundle, 'live', {**GOOD, 'address': '192.168.0.50'})


def test_figures_count_from_the_activation_on(bundle):
    loop = GraspLoop(bundle, bundle.policy('numpy'), lambda: 0)
    loop.counts['ticks'] = 1000
    figures = Figures(loop, 'numpy', 0.1)
    assert figures.rate_hz == 0.0
    loop.counts['ticks'] += 7
    assert figures.sentence().startswith('7 ticks')
    assert not figures.off_rate(), 'nothing is judged in the first second'
    values = figures.values(0, None, None)
    assert values['joint_states_age_ms'] == ''
    assert values['phase'] == 'IDLE'


HEADLINE = {
    'set': 'H1', 'level': 'L2', 'episodes': 320, 'success': 0.612, 'ci95': [0.557, 0.664],
    'best_baseline': {'name': 'open loop 0.12', 'success': 0.5, 'ci95': [0.45, 0.55]},
    'no_touch': {'success': 0.655, 'ci95': [0.6, 0.7]},
}


def test_the_card_prints_what_speaks_against_the_policy_too(bundle):
    contract = copy.deepcopy(dict(bundle.contract))
    contract['evaluation']['headline'] = HEADLINE
    rows = [{'policy': 'touch, seed 1', 'success': 0.612},
            {'policy': 'no touch, seed 1', 'success': 0.655, 'held': True}]
    facts = {'parameters': 84, 'operators': {}, 'bytes': 9, 'macs': 7}
    card = model_card(contract, {'rows': rows, 'notes': ['simulated']}, facts)
    for part in ('61.2%', '55.7% … 66.4%', '320 simulated episodes', 'open loop 0.12, 50.0%',
                 'without touch**: 65.5%', '| no touch, seed 1 | 0.655 | True |', 'not validated on hardware'):
        assert part in card
    contract['evaluation']['headline'] = {**HEADLINE, 'no_touch': None}
    assert 'nothing is known about the use of touch' in model_card(contract, {}, facts)


def test_tables_show_every_column_once():
    text = table([{'a': 1, 'b': 0.123456}, {'b': [1, 2], 'c': None}])
    assert text.splitlines() == ['| a | b | c |', '|---|---|---|', '| 1 | 0.123 |  |', '|  | 1 … 2 |  |']
