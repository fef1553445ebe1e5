#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configure if need be, and build.
. "$(dirname "$0")/lib.sh"
pd_build "$@"
