#!/usr/bin/env bash
# Compare pilotd with the recordings of istiod in $PD_SHARED/oracle.
#
#   run.sh equal [SCENARIO...]   these, or those of scenarios.txt, must be equal in all: prints the differences
#   run.sh score [SCENARIO...]   these, or all, must not be worse than floor.json; prints the score
#       --update                 writes what got better into floor.json
#       --verbose                counts of each scenario
#   --out FOLDER                 keeps the recordings (and pilotd's logs) there
#
# Exit status 77 if the recordings are not there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
shared=${PD_SHARED:-$root/../shared}
venv=${PD_VENV:-$root/.venv}
if [ ! -d "$shared/oracle" ]; then
	echo "the recordings of istiod are not here: no folder $shared/oracle (set PD_SHARED)"
	exit 77
fi
exec "$venv/bin/python3" "$root/tests/oracle/run.py" --shared "$shared" --build "${PD_BUILD:-$root/build/release}" "$@"
