"""From ticks to numbers: intervals, cost, carbon, comparisons; laws that hold whatever the numbers are."""

import numpy as np
import pytest
from allegro_bench.latency import NEVER, ticks
from allegro_bench.results import cost, intervals
from allegro_bench.results.comparisons import compared, distinguishable
from allegro_bench.results.intervals import distribution, over_blocks
from allegro_bench.results.summary import misses
from allegro_bench.statistics import nearest_rank, needed
from bench_result import IDLE_W, METER, SERVICE_MS, WATTS, closed_loop, make
from hypothesis import given, settings
from hypothesis import strategies as st

A, B = 'onnxruntime/fp32', 'openvino/fp32'
PARTS = st.lists(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), min_size=1, max_size=4)


@pytest.fixture(scope='module')
def document(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, 'RESAMPLES', 50)
        return make(tmp_path_factory.mktemp('result'), quality=[closed_loop(A)])


@given(PARTS)
@settings(max_examples=40, deadline=None)
def test_percentiles_are_of_all_blocks_together_and_only_where_n_allows(parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, 'RESAMPLES', 20)
        found = distribution([np.array(p) for p in parts], 5)
    values = sorted(v for p in parts for v in p)
    n = found['n']
    assert n == len(values)
    assert found['max']['value'] == values[-1]
    for name, p in (('p50', 0.5), ('p90', 0.9), ('p95', 0.95), ('p99', 0.99), ('p999', 0.999)):
        one = found[name]
        if n < needed(p):
            assert one['value'] is one['lo'] is one['hi'] is None
            assert one['needed'] == needed(p)
        else:
            assert one['value'] == values[nearest_rank(n, p) - 1]
            assert values[0] <= one['lo'] <= one['value'] <= one['hi'] <= values[-1]


def test_blocks_that_differ_widen_the_interval():
    """Within each block everything is the same; what is uncertain is which level the next block would have."""
    alike = [np.full(500, 1.0) for _ in range(5)]
    apart = [np.full(500, level) for level in (1.0, 1.1, 1.2, 1.3, 1.4)]
    assert distribution(alike, 50)['p50']['lo'] == distribution(alike, 50)['p50']['hi']
    found = distribution(apart, 50)['p50']
    assert found['method'] == intervals.SESSION
    assert found['hi'] - found['lo'] >= 0.19


def test_the_interval_of_the_session_covers():
    """The true median lies inside in most sessions whose blocks have levels of their own."""
    generator = np.random.default_rng(3)
    covered = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, 'RESAMPLES', 100)
        for _ in range(60):
            levels = generator.normal(0.0, 0.05, 8)
            found = distribution([np.exp(level + generator.normal(0, 0.1, 200)) for level in levels], 50)['p50']
            covered += found['lo'] <= 1.0 <= found['hi']
    assert covered >= 45


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=8))
def test_intervals_over_blocks_hold_the_total(values):
    found = over_blocks(float(np.mean(values)), values)
    assert found['n'] == len(values)
    if len(values) == 1:
        assert found['lo'] is found['hi'] is None
    else:
        assert found['lo'] <= found['value'] <= found['hi']


def test_a_run_of_misses_does_not_reach_into_the_next_block():
    late = [ticks(range(4), [0, 10, 20, 30], [0, 10, 20, 30], [5, 15, 35, NEVER]),
            ticks(range(4), [50, 60, 70, 80], [50, NEVER, 70, 80], [65, NEVER, 75, 85])]
    found = misses(late, 10, 2)
    assert (found['n'], found['missed'], found['late'], found['skipped']) == (8, 4, 2, 2)
    assert found['longest_run'] == 2
    assert found['worst_second'] == 2


def test_joules_are_known_ones(document):
    """Constant power: W times the window over the inferences; marginal is what is beyond the loaded idle loop."""
    for entry in document['summary']:
        found, watts = entry['energy'][METER.id], WATTS[entry['backend']]
        window_s, n = 10.005, 500
        assert found['gross_j_per_inference']['value'] == pytest.approx(watts * window_s / n, rel=5e-3)
        marginal = (watts - WATTS['null']) * window_s / n
        assert found['marginal_j_per_inference']['value'] == pytest.approx(marginal, rel=5e-3)
        assert found['wh_per_hour']['value'] == pytest.approx(watts, rel=1e-9)
        assert (found['boundary'], found['quality']) == ('cpu_package', 'measured')
        assert entry['cpu_s_per_inference']['value'] == pytest.approx(SERVICE_MS[entry['backend']] * 1.3e-3)
        assert entry['carbon']['g_per_hour'] == pytest.approx(watts * 0.4, rel=0.06)
        assert entry['carbon']['sci'] is None, 'without embodied carbon there is no SCI'


def test_joules_per_success_are_derived_from_inferences_per_success(document):
    by_name = {e['backend']: e for e in document['summary']}
    found = by_name[A]['j_per_success']
    gross = by_name[A]['energy'][METER.id]['gross_j_per_inference']['value']
    assert found == {'value': pytest.approx(gross * 280), 'lo': pytest.approx(gross * 270),
                     'hi': pytest.approx(gross * 291), 'kind': 'derived'}
    assert by_name[B]['j_per_success'] is None


def test_no_marginal_energy_when_the_idle_machine_changed(document):
    bent = dict(document)
    bent['baselines'] = [b if b['kind'] != 'idle_after' else {**b, 'power_w': {METER.id: IDLE_W * 1.06}}
                         for b in document['baselines']]
    found = cost.energy(bent, A)[METER.id]
    assert found['marginal_j_per_inference']['value'] is None
    assert found['gross_j_per_inference']['value'] is not None


def test_one_unknown_block_makes_the_sum_unknown(document):
    bent = {**document, 'blocks': [dict(b) for b in document['blocks']]}
    one = next(b for b in bent['blocks'] if b['kind'] == 'measure' and b['backend'] == A)
    one['energy_j'] = {METER.id: None}
    one['cpu_s'] = None
    assert cost.energy(bent, A)[METER.id]['gross_j_per_inference']['value'] is None
    assert cost.cpu([b for b in bent['blocks'] if b['backend'] == A and b['kind'] == 'measure'])['value'] is None
    assert cost.energy(bent, B)[METER.id]['gross_j_per_inference']['value'] is not None


def test_estimated_energy_enters_neither_carbon_nor_comparisons(document):
    bent = {**document, 'meters': [{**m, 'quality': 'estimated'} for m in document['meters']]}
    assert cost.summed(bent) == ()
    assert cost.carbon(bent, cost.energy(bent, A), 50.0, None) is None


def test_overlapping_meters_are_never_added(document):
    core = {**document['meters'][0], 'id': 'rapl:core', 'overlaps': [METER.id]}
    package = {**document['meters'][0], 'overlaps': ['rapl:core']}
    second = {**document['meters'][0], 'id': 'rapl:package-1'}
    assert cost.summed({**document, 'meters': [package, core, second]}) == (METER.id, 'rapl:package-1')


def test_ratios_are_what_they_should_be(document):
    found = {c['metric']: c for c in document['comparisons']}
    ratio = SERVICE_MS[A] / SERVICE_MS[B]
    assert found['service_ms.p50']['ratio']['value'] == pytest.approx(ratio, rel=0.03)
    assert found['cpu_s_per_inference']['ratio']['value'] == pytest.approx(ratio)
    assert found['gross_j_per_inference']['ratio']['value'] == pytest.approx(WATTS[A] / WATTS[B], rel=1e-6)
    assert all(c['n_pairs'] == len(c['per_block']) == 3 for c in found.values())
    assert distinguishable(found['service_ms.p50']['ratio'])


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_ratio_turned_round_is_its_inverse(pairs):
    one, two = ({i: p[k] for i, p in enumerate(pairs)} for k in (0, 1))
    there, back = compared('a', 'b', 'm', one, two)['ratio'], compared('b', 'a', 'm', two, one)['ratio']
    assert there['value'] == pytest.approx(1 / back['value'])
    assert distinguishable(there) == distinguishable(back)
    if there['lo'] is not None and not np.isclose([there['lo'], there['hi']], 1.0).any():
        assert there['lo'] == pytest.approx(1 / back['hi'])
