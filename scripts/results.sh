#!/usr/bin/env bash
# The numbers of docs/results.md, made anew: hours of training. Stop it at any time; the next call does what is left.
# nnUNet_raw has to hold Dataset004_Hippocampus (Medical Segmentation Decathlon) and Dataset120_DSB2018.
# For instance: nnUNet_raw=/data scripts/results.sh light_hippocampus      --help shows the options and all experiments
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
ensure_environment dev,demo
exec "$VENV_PYTHON" scripts/results.py "$@"
