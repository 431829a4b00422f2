#!/bin/sh
# All tests: test.sh VENV JAZZY_VENV [pytest options]
# Two rows side by side, because most tests wait: those without a graph, then those with one, on Kilted; and beside them
# those with a graph on Jazzy, then the driver's without. Each row keeps its own list of what failed.
venv=$1 jazzy=$2
shift 2
log=$(mktemp)
(
    failed=0
    echo '--- Jazzy, with a graph ---'
    "$jazzy/bin/python" -m pytest -q -m graph -o cache_dir=.pytest_cache/jazzy "$@" || failed=1
    echo '--- Kilted, without a graph: the driver ---'
    "$venv/bin/python" -m pytest -q -m 'not graph' -o cache_dir=.pytest_cache/driver "$@" allegro_driver/test || failed=1
    exit $failed
) >"$log" 2>&1 &
beside=$!
trap 'kill $beside 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
failed=0
echo '--- Kilted, without a graph: all but the driver (beside it: Jazzy, with a graph) ---'
"$venv/bin/python" -m pytest -q -m 'not graph' "$@" allegro_description/test allegro_ai/test allegro_bench/test launch/test test || failed=1
echo '--- Kilted, with a graph (beside it: the driver without) ---'
"$venv/bin/python" -m pytest -q -m graph "$@" || failed=1
wait $beside || failed=1
cat "$log"
exit $failed
