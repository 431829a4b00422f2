"""What ``allegro-bench report`` and ``verify`` do with a folder that the node inference_profiler wrote."""

from __future__ import annotations

from pathlib import Path

from allegro_description.errors import MissingDependency

from allegro_bench import result


def report(folder: Path) -> int:
    """Write ``report.html`` again; returns the exit code."""
    from allegro_bench import report as reports

    print(f'wrote {reports.write(folder)}')
    return 0


def verify(folder: Path) -> int:
    """Compute the numbers again and print what differs; returns the exit code."""
    problems = result.verify(folder)
    found = result.load(folder)
    try:
        result.validate(found)
        schema = 'fits its schema'
    except MissingDependency as error:
        schema = f'was not checked against its schema ({error})'
    for problem in problems:
        print(problem)
    name = f'{found["schema"]["name"]} v{found["schema"]["version"]}'
    if problems:
        print(f'{folder}: {len(problems)} differences; the result is not what its raw ticks say')
        return 1
    ticks = sum(block['n_expected'] for block in found['blocks'])
    print(f'{folder}: {name} {schema}; all numbers follow from its {ticks} ticks; {found["validity"]["status"]}')
    return 0
