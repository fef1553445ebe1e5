#!/usr/bin/env bash
# What pilotd sends for the recorded scenarios: equal to istiod for those of tests/oracle/scenarios.txt, and for all others
# not worse than tests/oracle/floor.json.
# sanitizers: yes
# timeout: 900
set -u
timeout=1
[ "${PD_PRESET:-release}" = release ] || timeout=3
tests/oracle/run.sh equal --out "$PD_TMP/equal" --timeout "$timeout"
equal=$?
[ $equal -ne 77 ] || exit 77
tests/oracle/run.sh score --verbose --out "$PD_TMP/score" --timeout "$timeout"
score=$?
[ $equal -eq 0 ] && [ $score -eq 0 ]
