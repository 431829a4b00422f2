#!/bin/sh
# Build and test this workspace with colcon in a virtual environment: colcon.sh VENV
set -eu
venv=$(cd "$1" && pwd)
# colcon runs the first python3 on the PATH, and the wheels' own share/ is the underlay.
PATH="$venv/bin:$PATH"
AMENT_PREFIX_PATH="$venv"
export PATH AMENT_PREFIX_PATH
list=$(colcon list)
echo "$list"
plain=$(echo "$list" | grep -v '(ros.ament_python)$' || true)
if [ -n "$plain" ]; then
    echo "these are no ros.ament_python packages, is their package.xml damaged? $plain" >&2
    exit 1
fi
colcon build --event-handlers console_stderr-
set +u
. ./install/setup.sh
set -u
colcon test --executor sequential --event-handlers console_direct+ --return-code-on-test-failure || failed=1
colcon test-result || failed=1
# colcon calls a package without tests a success.
for package in $(echo "$list" | cut -f 1); do
    if ! grep -qs '<testcase' "build/$package/pytest.xml"; then
        echo "$package: colcon test ran no test" >&2
        failed=1
    fi
done
exit "${failed:-0}"
