#!/bin/sh
# All tests: test.sh VENV JAZZY_VENV [pytest options]
# The graph tests mostly wait, so those on Jazzy run beside the tests without a graph; those on Kilted follow alone.
venv=$1 jazzy=$2
shift 2
log=$(mktemp)
"$jazzy/bin/python" -m pytest -q -m graph -o cache_dir=.pytest_cache/jazzy "$@" >"$log" 2>&1 &
beside=$!
trap 'kill $beside 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
failed=0
echo '--- Kilted, without a graph (the graph tests on Jazzy run beside) ---'
"$venv/bin/python" -m pytest -q -m 'not graph' "$@" || failed=1
wait $beside || failed=1
echo '--- Jazzy, with a graph ---'
cat "$log"
echo '--- Kilted, with a graph ---'
"$venv/bin/python" -m pytest -q -m graph "$@" || failed=1
exit $failed
