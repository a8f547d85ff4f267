#!/usr/bin/env bash
# Makes the tables of docs/results.md. Published scores come from docs/results/; what is missing is trained, which takes hours,
# for two experiments on a GPU. Stop it at any time; the next call goes on.
# nnUNet_raw has to hold Dataset004_Hippocampus (Medical Segmentation Decathlon) and Dataset120_DSB2018.
# For instance: nnUNet_raw=/data scripts/results.sh light_hippocampus      --help shows the options and all experiments
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
ensure_environment dev,demo
exec "$VENV_PYTHON" scripts/results.py "$@"
