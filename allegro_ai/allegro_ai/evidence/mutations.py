"""Can a damaged or forged bundle be loaded and make a hand do something else?

``python -m allegro_ai.evidence.mutations --count 100000`` damages the shipped bundles in the ways of
:mod:`.mutants`, loads each mutant as the node does (schema, hashes, signature, hand, graph, golden vectors in ONNX
Runtime) and compares what it would do with the original (:mod:`.behaviour`). What must hold, and exit code 1 if not:

1. Whatever arrives ends in a loaded bundle or in one :class:`AllegroError` of one line; no other exception, no crash of
   the process, no mutant that takes longer than 20 s.
2. **Hashes not made again** (accidents): refused, or byte-for-byte the same behaviour (e.g. a line ending in
   SHA256SUMS changed). Nothing else.
3. **Signature required** (the original is signed with a key made for the run): the same, for every kind, also when all
   hashes were made again.
4. **Hashes made again, no signature required**: whoever does that has made *another bundle*. Only what contradicts
   itself, the hand, the graph or its golden vectors can be refused; a gain within the declared tolerance, or another
   start pose within the limits, is a sound bundle with another fingerprint. Such mutants are counted, not hidden:
   ``within`` answers differ by less than the golden tolerance, ``other`` behaves differently. That is what signatures
   are for, and rule 3 is checked on each of them.

The same seed makes the same mutants; ``--only INDEX`` repeats one and prints what came of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from allegro_description.errors import AllegroError
from allegro_description.model import load_hand

from allegro_ai import contents, signing
from allegro_ai.archive import parse_archive
from allegro_ai.bundle import Bundle, available_bundles, check_contents, find_bundle
from allegro_ai.contract import golden_tolerance
from allegro_ai.evidence.behaviour import Behaviour, Inputs, behaviour, decisions, example_inputs
from allegro_ai.evidence.mutants import KINDS, Kind, Mutant, Victim
from allegro_ai.grasp_loop import GraspLoop
from allegro_ai.policy import Policy
from allegro_ai.untrusted import parse_yaml

LIMIT_S = 20.0
_MEMORY = 8 * 1024 ** 3
_OUTCOMES = ('refused', 'same', 'within', 'other', 'broken')


@dataclass
class Original:
    """A signed bundle with what it does."""

    victim: Victim
    bundle: Bundle
    policy: Policy
    inputs: Inputs
    does: Behaviour
    trusted: tuple[signing.PublicKey, ...]


@dataclass
class Tally:
    """What came of the mutants: (kind, outcome) without and with a required signature, what broke, the slowest."""

    plain: Counter[tuple[str, str]] = field(default_factory=Counter)
    signed: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    peak_mib: float = 0.0

    def add(self, other: Tally) -> None:
        """Take over the counts of a worker."""
        self.plain.update(other.plain)
        self.signed.update(other.signed)
        self.broken += other.broken
        self.slowest, self.peak_mib = max(self.slowest, other.slowest), max(self.peak_mib, other.peak_mib)


def original(path: Path) -> Original:
    """Read and sign a bundle in memory with a new key."""
    files = contents.read_contents(path)
    document = parse_yaml(files[contents.CONTRACT], contents.CONTRACT)
    files.pop(contents.SIGNATURE, None)
    key = signing.new_key('evidence')
    files[contents.SIGNATURE] = signing.sign(files, key, 'evidence')
    model, _, side = document['hand']['profile'].rpartition('_')
    bundle = check_contents(files, path, load_hand(model, side), trusted=(key.public,), require_signature=True)
    inputs, policy = example_inputs(bundle), bundle.policy()
    does = behaviour(bundle, policy, inputs)
    name = f'{document["bundle"]["name"]}-{document["bundle"]["version"]}'
    return Original(Victim.of(name, files), bundle, policy, inputs, does, (key.public,))


def mutant(originals: Sequence[Original], seed: int, index: int) -> tuple[Original, Kind, Mutant]:
    """The mutant of a number."""
    dice = Random(f'{seed}/{index}')
    kind = dice.choices(KINDS, [k.share for k in KINDS])[0]
    source = originals[index % len(originals)]
    made = kind.make(source.victim, dice)
    while made.files == source.victim.files:  # a field set to the value that it had is no damage
        made = kind.make(source.victim, dice)
    return source, kind, made


def outcome(source: Original, made: Mutant, *, signed: bool) -> tuple[str, str]:
    """One of ``refused``, ``same``, ``within``, ``other``, ``broken``, and the sentence or the reason."""
    try:
        if made.archive is not None:
            files = parse_archive(made.archive, 'mutant.tar.zst')
        else:
            files = dict(made.files or {})
            for name, data in files.items():
                contents.check_name(name, 'mutant')
                contents.check_size(name, len(data), 'mutant')
        bundle = check_contents(files, Path('mutant'), source.bundle.model, trusted=source.trusted if signed else (),
                                require_signature=signed)
        does = _does(bundle, source)
    except AllegroError as error:
        said = str(error)
        if '\n' in said or not said or len(said) > 2000:
            return 'broken', f'no sentence: {said[:300]!r}'
        return 'refused', said
    except Exception as error:
        return 'broken', f'{type(error).__name__}: {str(error)[:300]}'
    return does.compared(source.does, golden_tolerance(source.bundle.contract, 'onnxruntime')), ''


def _does(bundle: Bundle, source: Original) -> Behaviour:
    """Load the graph and run it, unless everything that takes part is what it was in the original.

    In both cases the loop of the node is built, so a bundle that loads and cannot be run is found.
    """
    parts = ('runtime', 'inputs', 'output', 'extra_outputs', 'golden')
    files = (contents.GRAPH, bundle.contract['golden']['file'], bundle.contract['ood']['file'])
    untouched = all(bundle.files.get(n) == source.bundle.files.get(n) for n in files) and all(
        bundle.contract.get(part) == source.bundle.contract.get(part) for part in parts)
    policy = source.policy if untouched else bundle.policy()
    GraspLoop(bundle, policy, time.monotonic_ns)
    if untouched:
        return Behaviour(decisions(bundle.contract), source.does.answers, source.does.scores)
    return behaviour(bundle, policy, source.inputs)


def judge(originals: Sequence[Original], seed: int, index: int, tally: Tally) -> tuple[str, str]:
    """Make one mutant, load it with and without required signature, count it; returns outcome and sentence."""
    begin = time.perf_counter()
    source, kind, made = mutant(originals, seed, index)
    verdict, said = outcome(source, made, signed=False)
    signed = verdict
    if verdict not in ('refused', 'broken'):  # what is refused without is refused with: the same checks and one more
        signed, said_signed = outcome(source, made, signed=True)
        if signed not in ('refused', 'same'):
            verdict, said = 'broken', f'signature required, yet {signed} {said_signed}'
    if verdict in ('within', 'other') and not kind.mended:
        verdict, said = 'broken', f'hashes were not made again, yet {verdict}'
    took = time.perf_counter() - begin
    if took > LIMIT_S:
        verdict, said = 'broken', f'took {took:.0f} s'
    tally.plain[kind.name, verdict] += 1
    tally.signed[kind.name, signed] += 1
    tally.slowest = max(tally.slowest, (took, index))
    if verdict == 'broken':
        tally.broken.append(f'{index} ({kind.name}): {said}')
    return verdict, said


def _work(paths: Sequence[Path], seed: int, numbers: range, at: Any, results: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    originals, tally = [original(path) for path in paths], Tally()
    for index in numbers:
        at.value = index
        judge(originals, seed, index, tally)
    tally.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put(tally)


def run(paths: Sequence[Path], count: int, seed: int, processes: int, batch: int = 2000,
        work: Callable[..., None] = _work) -> Tally:
    """Judge ``count`` mutants in worker processes, which may crash or hang without ending the run."""
    total, done = Tally(), 0
    spawn = multiprocessing.get_context('spawn')
    waiting = [range(a, min(a + batch, count)) for a in range(0, count, batch)]
    active: list[tuple[Any, range, Any, Any, list[float]]] = []
    while waiting or active:
        while waiting and len(active) < processes:
            numbers = waiting.pop(0)
            at, results = spawn.Value('q', -1), spawn.SimpleQueue()
            process = spawn.Process(target=work, args=(paths, seed, numbers, at, results), daemon=True)
            process.start()
            active.append((process, numbers, at, results, [-1.0, time.monotonic()]))
        time.sleep(0.05)
        for entry in list(active):
            process, numbers, at, results, seen = entry
            if at.value != seen[0]:
                seen[:] = [at.value, time.monotonic()]
            hung = time.monotonic() - seen[1] > 3 * LIMIT_S
            if not results.empty():
                total.add(results.get())
                process.join()
            elif hung or not process.is_alive():
                process.kill()
                process.join()
                if at.value < 0:
                    raise RuntimeError('a worker could not load the originals')
                # Its counts are lost with it, so its range is done again around the culprit.
                total.broken.append(f'{at.value}: {"hangs" if hung else f"the process ended with {process.exitcode}"}')
                total.plain['process', 'broken'] += 1
                waiting += [r for r in (range(numbers.start, at.value), range(at.value + 1, numbers.stop)) if len(r)]
                active.remove(entry)
                continue
            else:
                continue
            active.remove(entry)
            done += len(numbers)
            print(f'{done} of {count}, {len(total.broken)} broken', file=sys.stderr, flush=True)
    return total


def report(tally: Tally) -> str:
    """The table."""
    lines = ['| damage | mutants | refused | same behaviour | within golden tolerance | another sound bundle | '
             'broken | signature required: refused | same behaviour |', '|---' * 9 + '|']
    names = [k.name for k in KINDS] + (['process'] if tally.plain['process', 'broken'] else [])
    for name in [*names, 'all']:
        rows = [sum(n for (kind, what), n in tally.plain.items() if what == o and name in (kind, 'all'))
                for o in _OUTCOMES]
        signed = [sum(n for (kind, what), n in tally.signed.items() if what == o and name in (kind, 'all'))
                  for o in ('refused', 'same')]
        lines.append(f'| {name} | {sum(rows)} | ' + ' | '.join(str(n) for n in (*rows, *signed)) + ' |')
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=100_000, help='mutants (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--processes', type=int, default=1, help='default: %(default)s')
    parser.add_argument('--bundle', action='append', default=[], help='victim (default: every shipped bundle)')
    parser.add_argument('--only', type=int, default=-1, metavar='INDEX', help='repeat one mutant')
    parser.add_argument('--out', default='', help='write counts as JSON')
    args = parser.parse_args(arguments)
    try:
        paths = [find_bundle(name) for name in args.bundle or available_bundles()]
        originals = [original(path) for path in paths]
    except AllegroError as error:
        print(f'mutations: {error}', file=sys.stderr)
        return 2
    if args.only >= 0:
        print(mutant(originals, args.seed, args.only)[1].name, *judge(originals, args.seed, args.only, Tally()))
        return 0
    begin = time.perf_counter()
    tally = run(paths, args.count, args.seed, args.processes)
    took = time.perf_counter() - begin
    print(report(tally))
    print(f'\n{args.count} mutants of {", ".join(p.name for p in paths)}, seed {args.seed}, {took:.0f} s in '
          f'{args.processes} processes; slowest {tally.slowest[0]:.2f} s (mutant {tally.slowest[1]}), memory at most '
          f'{tally.peak_mib:.0f} MiB')
    for line in tally.broken[:20]:
        print(f'BROKEN {line}')
    if args.out:
        counts = {name: {f'{k}: {o}': n for (k, o), n in sorted(table.items())}
                  for name, table in (('plain', tally.plain), ('signed', tally.signed))}
        document = {'seed': args.seed, 'count': args.count, 'seconds': round(took, 1), **counts, 'broken': tally.broken}
        Path(args.out).write_text(json.dumps(document, indent=1) + '\n', encoding='utf-8')
    return 1 if tally.broken else 0


if __name__ == '__main__':
    raise SystemExit(main())
