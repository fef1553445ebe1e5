#!/usr/bin/env bash
# run.sh FILE [TEST...]: the tests of tests/envoy/FILE.py with a real Envoy, over each protocol (or that in $PROTOCOL).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${PD_VENV:-$root/.venv}
export PATH=${PD_BUILD:-$root/build/release}/bin:$venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
if ! command -v envoy >/dev/null; then
	echo "no envoy in PATH (scripts/install.sh puts one into .venv)"
	exit 77
fi
status=0
for protocol in ${PROTOCOL:-delta sotw}; do
	echo "== $1, $protocol"
	PROTOCOL=$protocol "$venv/bin/python3" -u -W ignore::ResourceWarning "$root/tests/envoy/$1.py" -v "${@:2}" || status=1
done
exit $status
