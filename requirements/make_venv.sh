#!/bin/sh
# make_venv.sh FOLDER: create a virtual environment with everything the tests need, in one pip command.
# PYTHON names the interpreter; default: the first suitable one, or one that uv downloads.
set -eu
venv=$1
here=$(dirname "$0")
ok='import sys, venv, ensurepip; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))'

python=
for candidate in ${PYTHON:-} python3.11 python3.10 python3.12 python3.9 python3.8 python3; do
    # Version managers install names without an interpreter behind them, so each candidate is run.
    if "$candidate" -c "$ok" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
    [ "$candidate" != "${PYTHON:-}" ] || { echo "PYTHON=$PYTHON is not a Python 3.8 to 3.12 with venv" >&2; exit 1; }
done

rm -rf "$venv"
if [ -n "$python" ]; then
    "$python" -m venv "$venv"
elif command -v uv >/dev/null 2>&1; then
    uv venv --seed --python 3.11 "$venv"
else
    echo "No Python 3.8 to 3.12 with its venv module was found: install one (Debian: python3-venv), or uv." >&2
    exit 1
fi

set_of=$("$venv/bin/python" -c 'import sys; print("py312" if sys.version_info >= (3, 12) else "py38-py311")')
"$venv/bin/python" -m pip install --disable-pip-version-check -r "$here/$set_of.txt" -e "$here/.."
