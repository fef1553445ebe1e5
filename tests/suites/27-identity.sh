#!/usr/bin/env bash
# Who may have a certificate and a stream: tokens of an OIDC provider and client certificates against a whole pilotd, right ones
# and those of an attacker.
# sanitizers: yes
# timeout: 180
set -euo pipefail
exec "$PD_VENV/bin/python" "$PD_ROOT/tests/identity/identity.py" "$PD_TMP"
