#!/usr/bin/env bash
# All checks: format, lint, types, tests. Arguments go to pytest; without the slow tests: scripts/test.sh -m "not slow"
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

# Two workers share the tests; a pool of threads in each would only fight over the cores.
export OMP_NUM_THREADS=1
# nnU-Net starts a pool all the same when it trains on a CPU; waiting threads of it must not keep a core busy.
export OMP_WAIT_POLICY=PASSIVE

ensure_environment dev,demo,monai
step "Format" "$VENV_PYTHON" -m ruff format --check .
step "Lint" "$VENV_PYTHON" -m ruff check .
step "Types" "$VENV_PYTHON" -m mypy
# worksteal: the worker that is done first takes tests of the other
step "Tests" "$VENV_PYTHON" -m pytest -n 2 --dist worksteal "$@"
