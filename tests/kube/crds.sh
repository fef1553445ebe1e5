#!/usr/bin/env bash
# Installs the Gateway API CRDs as published with the Go module that the conformance suite comes from.
#   crds.sh [standard|experimental]     (default: experimental)
# The channel's ValidatingAdmissionPolicy is left out: it refuses a later change of channel.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
channel=${1:-experimental}
dir=$KUBE_OUT/crds/$channel
[ -d "$dir" ] || die "no folder $dir (channels: standard, experimental; made by build.sh)"
files=()
for f in "$dir"/*.yaml; do
	case ${f##*/} in *_vap_* | kustomization.yaml) ;; *) files+=(-f "$f") ;; esac
done
kubectl apply --server-side "${files[@]}" >/dev/null
kubectl wait --for=condition=Established "${files[@]}" --timeout=60s >/dev/null
kubectl get crd gateways.gateway.networking.k8s.io \
	-o 'jsonpath=Gateway API {.metadata.annotations.gateway\.networking\.k8s\.io/bundle-version} {.metadata.annotations.gateway\.networking\.k8s\.io/channel}{"\n"}'
