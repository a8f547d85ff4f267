#!/usr/bin/env bash
# Runs the fast tests with the oldest torch and nnunetv2 that pyproject.toml allows, then with the newest that pip finds.
#
#   scripts/oldest_and_newest.sh              both, one after the other
#   scripts/oldest_and_newest.sh oldest       one of them
#   PYTHON=python3.12 scripts/oldest_and_newest.sh newest tests/memory      with this Python, these tests alone
#
# Each environment is several gigabytes in a temporary folder (TMPDIR says where) and removed at the end.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
export OMP_NUM_THREADS=1

case "${1:-both}" in
    oldest | newest)
        wanted=("$1")
        shift
        ;;
    both)
        wanted=(oldest newest)
        shift || true
        ;;
    *) wanted=(oldest newest) ;;
esac
python=${PYTHON:-$(find_python)} || fail "needs Python 3.10 or newer: install one, or name it in the variable PYTHON."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# "torch==2.6" for the dependency "torch>=2.6".
lower_bound() { sed -n "s/^ *\"\($1\)>=\([0-9.]*\).*/\1==\2/p" pyproject.toml | head -n 1; }

failed=()
for which in "${wanted[@]}"; do
    pins=()
    if [ "$which" = oldest ]; then pins=("$(lower_bound torch)" "$(lower_bound nnunetv2)"); fi
    environment=$folder/$which
    step "Making the $which environment with $("$python" --version)" "$python" -m venv "$environment"
    step "Installing ${pins[*]:-the newest torch and nnunetv2}" \
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev,demo,monai]" "${pins[@]}"
    say "The fast tests with the $which: $("$environment/bin/python" -m pip freeze | grep -E '^(torch|nnunetv2|numpy)==' | tr '\n' ' ')"
    "$environment/bin/python" -m pytest -m "not slow" -q -n "${WORKERS:-2}" "$@" || failed+=("$which")
    rm -rf "$environment"
done
[ ${#failed[@]} -eq 0 ] || fail "the fast tests failed with the ${failed[*]} versions."
