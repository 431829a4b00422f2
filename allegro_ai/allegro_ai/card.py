"""MODEL_CARD.md from the contract and the evaluation results: every number in it is read, none is typed."""

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


def _headline(contract: Contract) -> str:
    evaluation = contract['evaluation']
    head = evaluation['headline']
    if head is None:
        return '**Not evaluated.** No statement about its success is made.'
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
            f'Grasp policy for {hand["profile"]}'
            + (f' (also {", ".join(hand["compatible"])})' if hand['compatible'] else '')
            + f'. Licence {bundle["licence"]}, created {bundle["created"]}, by {", ".join(bundle["authors"])}.',)),
        ('## Result', (_headline(contract), f'On the real hand: {contract["evaluation"]["sim2real"]}.')),
        ('## Evaluation', _sections(evaluation)),
        ('## What it sees', (table(inputs), f'Touch is {"used" if provenance["touch_used"] else "not used"} by this '
                             f'policy. Scaling ({contract["normalisation"]["method"]}) is inside the graph.')),
        ('## What it does', (
            f'{runtime["rate_hz"]:g} times a second: target = reference + scale × action, where the reference is the '
            'posture at the end of a gentle close, an action of 1 is '
            f'{min(action["scale_rad"]):.3g} … {max(action["scale_rad"]):.3g} rad depending on the joint, and targets '
            f'change by at most {action["rate_limit_rad_s"]:g} rad/s within the joint limits.',
            f'It holds its last target when joint states are older than {safety["stale_ms"]:g} ms, when a fingertip '
            f'stays above {safety["max_tip_kpa"]:g} kPa, or when the observation stays further than '
            f'{safety["ood_stop"]:g} from the training data.')),
        ('## How it was made', (
            table([{'what': k, 'value': v} for k, v in provenance.items()]),
            f'Graph: {graph["parameters"]} numbers stored, {graph["bytes"]} bytes, operators '
            + ', '.join(f'{k} × {v}' for k, v in sorted(graph['operators'].items())) + f', opset {runtime["opset"]}.')),
        ('## Limits', (
            'A policy that holds in simulation may fail on a hand: friction, touch calibration and backlash differ. '
            'Try it in shadow mode first, then with soft objects and a hand on the emergency stop.',)),
    ]
    return '\n\n'.join('\n\n'.join((title, *texts)) for title, texts in parts) + '\n'


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
