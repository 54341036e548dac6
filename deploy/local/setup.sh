#!/bin/sh
# Make a virtual environment and install pinned requirements into it: setup.sh VENV REQUIREMENTS...
# Does nothing, in a few milliseconds, when it was done before with the same requirements.
set -eu
cd "$(dirname "$0")/../.."
venv=$1
shift

# Every requirements file counts, since they include each other.
sum=$(cat requirements.txt deploy/requirements/*.txt | cksum | tr -d ' \t')
stamp=$venv/.installed-$(echo "$*" | tr '/ ' '__')
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$sum" ]; then
    exit 0
fi

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
if [ ! -x "$venv/bin/python" ]; then
    python=
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$new_enough" 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "setup: Python 3.11 or newer is needed; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)." >&2
        echo "setup: install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    echo "setup: making $venv with $("$python" --version)"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        echo "setup: $python cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)." >&2
        exit 1
    fi
fi

echo "setup: installing $* (the first time this takes some minutes and about 1.5 GB)"
files=
for file in "$@"; do
    files="$files -r $file"
done
# shellcheck disable=SC2086 # the list is meant to be split
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --prefer-binary --quiet -c deploy/requirements/lock.txt $files || {
    echo "setup: installing failed; the lines above tell why." >&2
    echo "setup: behind a mirror set PIP_INDEX_URL; for a CPU-only torch from another index set PIP_EXTRA_INDEX_URL." >&2
    exit 1
}
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --no-deps -r deploy/requirements/no-deps.txt
# The command line `framequeue`, from the source tree.
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --no-deps --editable clients/python
echo "$sum" >"$stamp"
echo "setup: done"
