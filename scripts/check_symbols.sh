#!/usr/bin/env bash
# check_symbols.sh BUILD: every global symbol of our libraries is named pd_… (pb_… in api/): C has one name space.
set -euo pipefail
bad=0
for lib in "$1"/lib/libpd_*.a; do
	name=$(basename "$lib" .a)
	case $name in
	libpd_proto | libpd_test_support) continue ;;
	libpd_api | libpd_registry) allowed='^(pd|pb)_' ;;
	libpd_discovery) allowed='^(pd|tx)_' ;; # tx_: how translators read, used hundreds of times
	*) allowed='^pd_' ;;
	esac
	others=$(nm --defined-only --extern-only --format=posix "$lib" 2>/dev/null | awk 'NF > 2 {print $1}' | grep -vE "$allowed" || true)
	if [ -n "$others" ]; then
		echo "$name: symbols without the prefix pd_:" $others
		bad=1
	fi
done
exit $bad
