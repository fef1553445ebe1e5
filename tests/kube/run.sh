#!/usr/bin/env bash
# run.sh FILE [TEST...]: the tests of tests/kube/FILE.py, with a cluster of their own on loopback.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${PD_VENV:-$root/.venv}
export PATH=${PD_BUILD:-$root/build/release}/bin:$venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$root/tests/kube:$root/tests/envoy
export KUBE_OUT=${KUBE_OUT:-$HOME/.cache/pilotd-kube}
for program in kube faultproxy; do
	if [ ! -x "$KUBE_OUT/bin/$program" ]; then
		echo "no $KUBE_OUT/bin/$program (make test-kube builds it)"
		exit 77
	fi
done
exec "$venv/bin/python3" -u -W ignore::ResourceWarning "$root/tests/kube/$1.py" -v "${@:2}"
