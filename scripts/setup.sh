#!/bin/sh
# Make .venv from requirements.lock. Called by `make setup`; PYTHON names the interpreter.
set -eu
PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $("$PYTHON" --version) is too old: sampan needs Python 3.11 or newer" >&2
  echo "hint:  make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
quiet() { # what pip says matters only when it fails
  log=$(mktemp)
  "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
  rm -f "$log"
}
echo "setting up .venv from requirements.lock …"
quiet .venv/bin/pip install --disable-pip-version-check --require-hashes -r requirements.lock
quiet .venv/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
