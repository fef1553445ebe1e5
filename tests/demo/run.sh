#!/usr/bin/env bash
# make demo: a stock Envoy takes its configuration from pilotd; requests show what it does with them. KEEP=1 leaves it
# running until Ctrl-C. Exit status 1 if anything was not as it should be.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${PD_BUILD:-$root/build/release}
venv=${PD_VENV:-$root/.venv}
PATH=$build/bin:$venv/bin:$PATH exec "$venv/bin/python3" -u "$root/tests/demo/demo.py"
