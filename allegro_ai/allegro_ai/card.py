"""MODEL_CARD.md from the contract and the evaluation results: every number in it is read, none is typed.

The first lines say what a buyer would rather not read: that touch does not win, that a fixed grip is as good, that
nothing was evaluated. What counts as winning is the interval, not the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Contract = Mapping[str, Any]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.3g}'
    if isinstance(value, (list, tuple)):
        return ' … '.join(_cell(v) for v in value)
    return '' if value is None else str(value)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table with one column per key that occurs, in order of first occurrence."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    lines += ['| ' + ' | '.join(_cell(row.get(c)) for c in columns) + ' |' for row in rows]
    return '\n'.join(lines)


def verdicts(contract: Contract) -> list[str]:
    """The first lines: is it a policy at all, does touch win, does it beat the best fixed baseline?"""
    head = contract['evaluation']['headline']
    if contract.get('kind') == 'workload':
        return ['**A workload, not a policy:** its weights are random. It times an engine; a live hand refuses it.']
    if head is None:
        return ['**Not evaluated.** No statement about its success is made.']
    blind, best = head['no_touch'], head['best_baseline']
    if not contract['provenance']['touch_used']:
        touch = '**Touch is not used** by this policy.'
    elif blind is None:
        touch = ('**What touch is worth is not known:** the same policy was not trained without touch, so nothing is '
                 'claimed.')
    else:
        touch = _contest('Touch', 'trained without touch', head, blind, head.get('touch_gain'))
    return [touch, _contest('The policy', f'with the best fixed baseline ({best["name"]})', head, best,
                            head.get('baseline_gain'))]


def _contest(who: str, against: str, head: Mapping[str, Any], other: Mapping[str, Any],
             gain: Mapping[str, Any] | None) -> str:
    """Who wins, by the paired interval if there is one, else by whether the two intervals overlap."""
    difference = head['success'] - other['success'] if gain is None else gain['difference']
    if gain is None:
        (low, high), (other_low, other_high) = head['ci95'], other['ci95']
        wins, loses = low > other_high, high < other_low
        why = 'the two 95 % intervals ' + ('do not overlap' if wins or loses else 'overlap')
    else:
        low, high = gain['ci95']
        wins, loses = low > 0, high < 0
        why = f'paired 95 % interval {100 * low:+.1f} … {100 * high:+.1f}'
    mine, theirs = f'{head["success"]:.1%}', f'{other["success"]:.1%}'
    if gain is not None and 'runs' in gain and 'success' in gain:
        mine, theirs = (f'{rate:.1%} over {count} runs' for rate, count in
                        zip(gain['success'], gain['runs'], strict=True))
        why = why.replace('paired 95 % interval', '95 % interval over runs and episodes')
    verdict = 'wins' if wins else 'loses' if loses else 'does not win'
    shown = '' if wins or loses else ', so no difference is shown'
    return (f'**{who} {verdict}:** {mine} against {theirs} {against} ({head["set"]}, '
            f'{head["level"]}), difference {100 * difference:+.1f} points; {why}{shown}.')


def _headline(contract: Contract) -> str:
    evaluation = contract['evaluation']
    head = evaluation['headline']
    if head is None:
        return 'Nothing was measured.'
    best, blind = head['best_baseline'], head['no_touch']
    text = (f'Success **{head["success"]:.1%}** (95 % interval {head["ci95"][0]:.1%} … {head["ci95"][1]:.1%}) in '
            f'{head["episodes"]} simulated episodes, objects {head["set"]}, disturbance {head["level"]}. '
            f'Best fixed baseline: {best["name"]}, {best["success"]:.1%} '
            f'({best["ci95"][0]:.1%} … {best["ci95"][1]:.1%}). ')
    if blind is None:
        return text + 'The same policy without touch was not trained, so nothing is known about the use of touch.'
    return text + (f'The same policy trained **without touch**: {blind["success"]:.1%} '
                   f'({blind["ci95"][0]:.1%} … {blind["ci95"][1]:.1%}).')


def model_card(contract: Contract, evaluation: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """Render the card.

    Args:
        contract: ``policy.yaml``.
        evaluation: the content of ``evaluation.file``. Lists of mappings become tables, texts become paragraphs, in
            the order of the file, under their key as heading.
        graph: facts of the graph: parameters, operators, bytes.
    """
    bundle, hand, provenance = contract['bundle'], contract['hand'], contract['provenance']
    runtime, action, safety = contract['runtime'], contract['action'], contract['safety']
    inputs = [{'input': e['name'], 'unit': e['unit'], 'elements': e['shape'][0], 'source': e['source'],
               'when missing': e['on_missing'], 'definition': e.get('definition', '')} for e in contract['inputs']]
    parts: list[tuple[str, Sequence[str]]] = [
        (f'# {bundle["name"]} {bundle["version"]}', (
            *verdicts(contract),
            f'Grasp policy for {hand["profile"]}'
            + (f' (also {", ".join(hand["compatible"])})' if hand['compatible'] else '')
            + f'. Licence {bundle["licence"]}, created {bundle["created"]}, by {", ".join(bundle["authors"])}.',)),
        ('## Result', (_headline(contract), f'On the real hand: {contract["evaluation"]["sim2real"]}.')),
        ('## Evaluation', _sections(evaluation)),
        ('## What it sees', (table(inputs), f'Touch is {"used" if provenance["touch_used"] else "not used"} by this '
                             f'policy. Scaling ({contract["normalisation"]["method"]}) is inside the graph.',
                             *_extra(contract))),
        ('## What it does', (
            f'{runtime["rate_hz"]:g} times a second: target = reference + scale × action, where the reference is the '
            + ('target one step before' if action['semantics'] == 'position_delta' else
               'posture at the end of a gentle close') + ', an action of 1 is '
            f'{min(action["scale_rad"]):.3g} … {max(action["scale_rad"]):.3g} rad depending on the joint, and targets '
            f'change by at most {action["rate_limit_rad_s"]:g} rad/s within the joint limits.',
            f'It holds its last target when joint states are older than {safety["stale_ms"]:g} ms, when a fingertip '
            f'stays above {safety["max_tip_kpa"]:g} kPa, or when the observation stays further than '
            f'{safety["ood_stop"]:g} from the training data.')),
        ('## How it was made', (
            table([{'what': k, 'value': v} for k, v in provenance.items()]),
            f'Graph: {graph["parameters"]} numbers stored, {graph["bytes"]} bytes, operators '
            + ', '.join(f'{k} × {v}' for k, v in sorted(graph['operators'].items())) + f', opset {runtime["opset"]}, '
            f'{graph["macs"]} multiplications with addition per decision.', *_tolerances(contract))),
        ('## Limits', (
            'A policy that holds in simulation may fail on a hand: friction, touch calibration and backlash differ. '
            'Try it in shadow mode first, then with soft objects and a hand on the emergency stop.',)),
    ]
    return '\n\n'.join('\n\n'.join((title, *texts)) for title, texts in parts) + '\n'


def _extra(contract: Contract) -> list[str]:
    """Further outputs."""
    rows = [{'also reported': e['name'], 'elements': ', '.join(e['elements']), 'range': e['range'],
             'event above': e.get('threshold'), 'definition': e['definition']}
            for e in contract.get('extra_outputs', ())]
    return [table(rows)] if rows else []


def _tolerances(contract: Contract) -> list[str]:
    """How far each engine and precision may be off."""
    rows = [{'engine/precision': k, 'largest difference of an action': v}
            for k, v in sorted(contract['golden'].get('tolerances', {}).items())]
    said = f'Golden vectors agree within {contract["golden"]["tolerance"]:g} in fp32.'
    return [said, table(rows)] if rows else [said]


def _sections(evaluation: Mapping[str, Any]) -> list[str]:
    texts: list[str] = []
    facts: list[dict[str, Any]] = []
    for key, value in evaluation.items():
        title = key.replace('_', ' ').capitalize()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            texts += [f'### {title}', table(value)]
        elif isinstance(value, list):
            texts += [f'### {title}', '\n'.join(f'- {_cell(item)}' for item in value)]
        elif isinstance(value, str) and len(value) > 60:
            texts += [f'### {title}', value]
        elif not isinstance(value, dict):
            facts.append({'fact': title, 'value': value})
    return ([table(facts)] if facts else []) + texts
