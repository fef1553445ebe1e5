#!/usr/bin/env bash
# Runs the Gateway API conformance suite against the cluster that is up, from the node's network namespace.
#   conformance/run.sh [flags of the suite]
# Examples:
#   run.sh -gateway-class=pilotd -conformance-profiles=GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS
#   run.sh -gateway-class=pilotd -run-test=HTTPRouteWeight -cleanup-base-resources=false
#   run.sh -gateway-class=pilotd -conformance-profiles=MESH-HTTP,MESH-GRPC -namespace-labels=istio-injection=enabled
#   run.sh -gateway-class=pilotd -supported-features="$(cat features/gateway-istiod.txt)"
# All flags: run.sh -help. A report is written with -report-output=FILE; it needs the implementation flags, set below.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need_namespaces
need_root
[ -x "$BIN/conformance.test" ] || die "run build.sh conformance first"
export KUBECONFIG=$ADMIN
enter_node "$BIN/conformance.test" -test.v -test.timeout=60m -test.run='^TestConformance$' \
	-organization=pilotd -project=pilotd -url=https://example.invalid -version=dev -contact=dev@example.invalid "$@"
