#!/usr/bin/env bash
# The main job on a small real dataset: sets up .venv, then trains, predicts and evaluates. Arguments go to the demo: see --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

ensure_environment demo
step "Running the demo" .venv/bin/nnUNetv2_ext demo "$@"
