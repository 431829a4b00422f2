"""The numbers of a replay as rows for people: one row per metric, one column per policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allegro_bench.statistics import figures

Document = Mapping[str, Any]
Row = tuple[str, list[str]]


def number(value: Any, unit: str = '', scale: float = 1.0) -> str:
    """A number with its unit; n/a for what is unknown."""
    return 'n/a' if value is None else f'{figures(float(value) * scale)}{" " + unit if unit else ""}'


def share(value: Any) -> str:
    """A share in per cent."""
    return number(value, '%', 100)


def average(estimate: Mapping[str, Any] | None, unit: str = '', scale: float = 1.0) -> str:
    """An average with its interval, or why it is refused."""
    if estimate is None:
        return 'n/a'
    if estimate['value'] is None:
        return f'refused: {estimate["segments"]} independent segments, {estimate["needed"]} are needed'
    low, high = figures(estimate['lo'] * scale), figures(estimate['hi'] * scale)
    return f'{figures(estimate["value"] * scale)}{" " + unit if unit else ""} [{low}, {high}]'


def percentile(estimate: Mapping[str, Any]) -> str:
    """A percentile of a latency with its interval, or how many steps it would take."""
    if estimate['value'] is None:
        return f'n/a (needs {estimate["needed"]} steps)'
    return f'{figures(estimate["value"])} [{figures(estimate["lo"])}, {figures(estimate["hi"])}]'


def working(document: Document) -> list[Mapping[str, Any]]:
    """The policies that could be replayed."""
    return [p for p in document['policies'] if p['error'] is None]


def _rows(policies: Sequence[Mapping[str, Any]], *rows: tuple[str, Callable[[Mapping[str, Any]], str]]) -> list[Row]:
    return [(label, [tell(p) for p in policies]) for label, tell in rows]


def coverage(document: Document) -> list[Row]:
    """Metric group 2."""
    def of(tell: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: tell(p['coverage'])

    return _rows(
        working(document),
        ('steps answered, of those at work', of(lambda c: f'{c["steps"]} of {c["steps_at_work"]}')),
        ('stretches of a policy at work', of(lambda c: f'{c["runs"]}, {c["runs_begun_inside"]} of them begun before '
                                             'their recording did' if c['runs_begun_inside'] else str(c['runs']))),
        ('independent segments', of(lambda c: f'{c["independent_segments"]} (each {figures(c["correlation_s"])} s); an '
                                    f'average takes {c["needed_segments"]}')),
        ('steps with all required inputs fresh', of(lambda c: share(c['required_inputs_fresh']))),
        ('steps with all tips valid', of(lambda c: share(c['all_tips_valid']))),
        ('free / contact / event', of(lambda c: ' / '.join(str(v['steps']) for v in c['phases'].values()) + ' steps')),
        ('contact events', of(lambda c: str(c['contact_events']))),
        ('slip events (the policy\'s own output)', of(lambda c: 'n/a' if c['slip_events'] is None else str(
            c['slip_events']))),
        ('objects', of(lambda c: ', '.join(c['objects']) or 'not recorded')),
        ('control ticks', of(lambda c: c['ticks'])),
    )


def distribution(document: Document) -> list[Row]:
    """Metric group 3."""
    rows = _rows(
        working(document),
        ('steps beyond the warning', lambda p: f'{share(p["distribution"]["above_warn"])} (at '
         f'{p["distribution"]["warn"]:g})'),
        ('steps beyond the stop', lambda p: f'{share(p["distribution"]["above_stop"])} (at '
         f'{p["distribution"]["stop"]:g}), longest run {p["distribution"]["longest_above_stop_steps"]} steps'),
        ('distance: median, greatest', lambda p: f'{number(p["distribution"]["median"])}, '
         f'{number(p["distribution"]["greatest"])} at {number(p["distribution"]["greatest_at_s"], "s")}'),
    )
    terms = list(dict.fromkeys(e['term'] for p in working(document) for e in p['distribution']['exceedance']))
    for term in terms:
        rows.append((f'{term}: outside 99.8 % of training', [
            next((f'{share(e["outside"])}, most in {e["worst"]} ({share(e["worst_outside"])})'
                  for e in p['distribution']['exceedance'] if e['term'] == term), 'n/a') for p in working(document)]))
    return rows


def difference(document: Document, mode: str) -> list[Row]:
    """Metric group 4, ``mode`` being ``teacher_forced`` or ``self_fed``."""
    def of(tell: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: tell(p['action_difference'][mode]) if p['action_difference']['compared'] else \
            f'refused: {p["action_difference"]["reason"]}'

    rows = _rows(
        working(document),
        ('largest difference of a target', of(lambda d: number(d['largest_rad'], 'rad'))),
        ('mean difference, in distribution', of(lambda d: average(d['in_distribution']['mae_rad'], 'rad'))),
        ('mean difference, out of distribution', of(lambda d: average(d['out_of_distribution']['mae_rad'], 'rad')
                                                    if d['out_of_distribution']['steps'] else 'no such step')),
        ('root mean square, in distribution', of(lambda d: number(d['in_distribution']['rmse_rad'], 'rad'))),
        ('over the recorded step-to-step motion', of(lambda d: average(d['in_distribution']['over_persistence']))),
        ('skill against persistence', of(lambda d: number(d['in_distribution']['skill_persistence']))),
        ('skill against the mean target of training', of(lambda d: number(d['in_distribution']['skill_train_mean']))),
        ('mean difference in critical windows (±0.2 s)', of(lambda d: average(d['critical']['mae_rad'], 'rad'))),
        ('mean difference in contact, no event near', of(lambda d: average(d['phases']['contact']['mae_rad'], 'rad'))),
        ('squeeze changes the same way at events', of(lambda d: average(d['squeeze_agreement']['share'], '%', 100))),
        ('shift at which it agrees best', of(lambda d: 'n/a' if d['lag']['best_steps'] is None else
                                             f'{d["lag"]["best_steps"]} steps')),
    )
    names = list(dict.fromkeys(f for p in working(document) if p['action_difference']['compared']
                               for f in p['action_difference'][mode]['fingers']))
    for name in names:
        rows.append((f'mean difference, {name}', [
            average(p['action_difference'][mode]['fingers'][name]['mae_rad'], 'rad')
            if p['action_difference']['compared'] else 'refused' for p in working(document)]))
    return rows


def quality(document: Document) -> list[Row]:
    """Metric group 5."""
    def hits(key: str) -> Callable[[Mapping[str, Any]], str]:
        def tell(p: Mapping[str, Any]) -> str:
            h = p['command_quality'][key]
            worst = f', most often {h["worst_joint"]} ({share(h["worst_share"])})' if h['worst_joint'] else ''
            return f'{share(h["share"])} of the steps{worst}'
        return tell

    def slope(key: str) -> Callable[[Mapping[str, Any]], str]:
        def tell(p: Mapping[str, Any]) -> str:
            s = p['command_quality'][key]
            return 'takes no such input' if s is None else \
                f'median {number(s["median_action"])}, greatest {number(s["greatest_action"])} of ±1 ({s["element"]})'
        return tell

    return _rows(
        working(document),
        ('finite', lambda p: 'yes' if p['command_quality']['finite'] else 'no'),
        ('at a joint limit', hits('at_joint_limit')), ('at the rate limit', hits('at_rate_limit')),
        ('action saturated', hits('action_saturated')),
        ('jerk of the targets', lambda p: f'{average(p["command_quality"]["jerk_rms_rad_s3"], "rad/s³")}; greatest '
         f'{number(p["command_quality"]["jerk_greatest_rad_s3"])}'),
        ('energy above 5 Hz', lambda p: share(p['command_quality']['energy_above_5_hz'])),
        ('chatter on constant inputs', lambda p: 'n/a' if p['command_quality']['chatter'] is None else
         f'{number(p["command_quality"]["chatter"]["greatest_action"])} of ±1'),
        ('answer to 1 kPa more on one tip', slope('per_kpa')),
        ('answer to 0.01 rad more at one joint', slope('per_0_01_rad')),
    )


def touch(document: Document) -> list[Row]:
    """Metric group 6."""
    rows = _rows(
        working(document),
        ('verdict', lambda p: p['touch_use']['verdict']),
        ('called a touch policy', lambda p: 'yes' if p['touch_use']['called_a_touch_policy'] else 'no'),
        ('steps in contact', lambda p: str(p['touch_use']['contact_steps'])))
    names = list(dict.fromkeys(v['touch'] for p in working(document) for v in p['touch_use']['variants']))
    for name in names:
        rows.append((f'touch {name}: change of action', [
            next((f'median {number(v["action_median"])}, 99 % below {number(v["action_p99"])} of ±1; targets '
                  f'{average(v["target_mean_rad"], "rad")}' for v in p['touch_use']['variants'] if v['touch'] == name),
                 'n/a') for p in working(document)]))
    return rows


def timing(document: Document) -> list[Row]:
    """Metric group 7."""
    def of(tell: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: tell(p['latency']) if p['latency']['measured'] else f'not measured: {p["latency"]["reason"]}'

    def quantiles(d: Mapping[str, Any]) -> str:
        return f'p50 {percentile(d["p50"])}; p99 {percentile(d["p99"])}; p99.9 {percentile(d["p999"])}; greatest ' \
            f'{number(d["max"])} ms'

    return _rows(
        working(document),
        ('how it is computed', of(lambda t: t['path'])),
        ('whole step, here (ms)', of(lambda t: quantiles(t['service_ms']))),
        ('from arrival to answer, here (ms)', of(lambda t: quantiles(t['response_ms']))),
        ('later than the deadline, here', of(lambda t: f'{t["miss"]["missed"]} of {t["miss"]["n"]} (deadline '
                                             f'{t["deadline_ms"]:g} ms)')),
        ('over the bundle\'s budget, here', of(lambda t: f'{share(t["over_budget"])} (budget {t["budget_ms"]:g} ms)')),
        ('inference, as the node recorded it (ms)', lambda p: 'not recorded' if p['latency']['recorded'] is None else
         quantiles(p['latency']['recorded']['inference_ms'])),
        ('late, as the node recorded it', lambda p: 'not recorded' if p['latency']['recorded'] is None else
         f'{p["latency"]["recorded"]["late"]} of {p["latency"]["recorded"]["with_schedule"]}'),
    )


def determinism(document: Document) -> list[Row]:
    """Metric group 8."""
    def topics(p: Mapping[str, Any]) -> str:
        t = p['determinism']['from_topics']
        if t is None:
            return f'n/a: {p["determinism"]["reason"]}'
        if t['exact'] is None:
            return f'n/a: {t["reason"]}'
        words = f'{t["steps"]} of {t["recorded_steps"]} steps: action {number(t["largest_action"])}, target ' \
            f'{number(t["largest_target_rad"])} rad off'
        if t['undetermined']:
            words += f'; {t["undetermined"]} not judged, because what they remember was not recorded'
        return words if t['exact'] else f'{words}; differs from {t["first_s"]:.2f} s on: {t["reason"]}'

    def files(p: Mapping[str, Any]) -> str:
        alike = p['determinism']['same_files']
        return 'no hash recorded' if alike is None else 'the very files that ran' if alike else 'not the files that ran'

    rows = _rows(
        working(document),
        ('two replays', lambda p: 'equal bit by bit' if p['determinism']['bit_equal'] else 'not equal'),
        ('the bundle', files), ('node equals offline runner, from the topics', topics))
    names = list(dict.fromkeys(e['engine'] for p in working(document) for e in p['determinism']['engines']))
    for name in names:
        rows.append((f'logged actions on {name}', [next((_engine(e) for e in p['determinism']['engines'] if e[
            'engine'] == name), f'n/a: {p["determinism"]["reason"]}') for p in working(document)]))
    return rows


def _engine(row: Mapping[str, Any]) -> str:
    if row['exact'] is None:
        return f'n/a: {row["reason"]}'
    words = f'{row["steps"]} steps, largest difference {number(row["largest"])}'
    return words if row['exact'] else f'{words}; differs from step {row["first_step"]} ({row["first_s"]:.2f} s) on: ' \
        f'{row["reason"]}'


def model_check(document: Document) -> list[Row]:
    """Metric group 9."""
    def worst(c: Mapping[str, Any]) -> str:
        joints = sorted(c['joints'], key=lambda j: -j['median_rad'])[:4]
        return '; '.join(f'{j["joint"]} {number(j["median_rad"])} (greatest {number(j["greatest_rad"])})'
                         for j in joints)

    def of(tell: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda p: tell(p['model_check']) if p['model_check']['checked'] else f'n/a: {p["model_check"]["reason"]}'

    return _rows(
        working(document),
        ('steps compared', of(lambda c: f'{c["ticks"]}; assumes {c["assumes"]}')),
        ('simulated minus recorded angle, mean', of(lambda c: average(c['mae_rad'], 'rad'))),
        ('the same for a hand that stands still', of(lambda c: average(c['standing_still_rad'], 'rad'))),
        ('worst joints: median, rad', of(worst)))


GROUPS: tuple[tuple[str, str, Callable[[Document], list[Row]]], ...] = (
    ('Coverage', 'How much of the recording says anything about these policies.', coverage),
    ('In the training distribution?', 'Distance from the observations that a policy was trained on; 1 is typical.',
     distribution),
    ('Difference from the recorded targets: teacher-forced', 'Before each step the target in force is the recorded '
     'one, so each answer is judged on the situation that really was.', lambda d: difference(d, 'teacher_forced')),
    ('Difference from the recorded targets: self-fed', 'The policy\'s own last target is in force; the measurements '
     'stay those of the recording.', lambda d: difference(d, 'self_fed')),
    ('Command quality', 'Of the self-fed targets: would a hand like to follow them?', quality),
    ('Touch use', 'The same steps with touch taken away, shuffled in time, or late. A policy that does not move is not '
     'using touch, whatever its name says.', touch),
    ('Timing', 'Steps computed on this machine at the times at which their inputs came.', timing),
    ('Determinism', 'Is what is replayed here what ran there? Allowed: 1e-5 of an action of ±1.', determinism),
    ('One-step model check', 'About the simulator, not about a policy: one control step of the simulated hand from '
     'each recorded state, where nothing is touched.', model_check),
)
"""Heading, what it means, rows."""
