# Sourced by the scripts beside it: changes to the repository's root and makes .venv there ready. Not run on its own.
#
#   ensure_environment demo        the package, editable, with its extra "demo"
#   step "What is done" command    says what it does, runs it, and says so if it fails

cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
VENV_PYTHON="$ROOT/.venv/bin/python"

say() { printf '\n==> %s\n' "$*"; }

fail() {
    printf '\n%s: %s\n' "scripts/$(basename "$0")" "$*" >&2
    exit 1
}

step() {
    local title=$1 status=0
    shift
    say "$title"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        printf '\n%s: "%s" failed with status %s; what is printed above says why.\n' \
            "scripts/$(basename "$0")" "$title" "$status" >&2
        exit "$status"
    fi
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if command -v "$name" >/dev/null && is_recent "$name"; then
            echo "$name"
            return
        fi
    done
    return 1
}

make_environment() {
    local python
    python=$(find_python) || fail "needs Python 3.10 or newer, found none as python3, python3.13 to python3.10 or python: install one."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$("$python" --version) has no venv: install it (on Debian and Ubuntu: apt-get install python3-venv)."
    step "Making .venv with $("$python" --version)" "$python" -m venv .venv
}

# The environment is as it should be when the stamp of the extra says so. A .venv that was moved has a stamp of another place.
ensure_environment() {
    local extra=$1 stamp=".venv/installed-$1" wanted
    [ -e .venv ] || make_environment
    is_recent "$VENV_PYTHON" || fail ".venv holds no working Python of 3.10 or newer: remove the folder and run this again."
    wanted="$ROOT $(cksum <pyproject.toml)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        say "Using .venv as it is"
        return
    fi
    step "Installing nnunetv2-ext[$extra] into .venv (the first time with torch: gigabytes, some minutes)" \
        "$VENV_PYTHON" -m pip install --disable-pip-version-check --editable ".[$extra]"
    echo "$wanted" >"$stamp"
}
