#!/usr/bin/env bash
# What only a GPU can show, within 8 minutes on one large GPU. Without compilation first: that every preset computes correct
# results in float16, the measured peak of a step against the counted one, which operations take the time, and the time of the
# networks and of the modes of recomputation. Then the light network beside stock, and compiled networks. Figures go to
# docs/cost-gpu.jsonl as they come; the tables of docs/cost.md are written from them. To see that it holds together on any
# machine, without that limit:
#
#   scripts/gpu_check.sh --size tiny --backend aot_eager --output check.jsonl
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

ensure_environment dev,demo
arguments=("$@") limit=0 # of a call with arguments: none
if [ ${#arguments[@]} -eq 0 ]; then
    arguments=(--docs --minutes 7) limit=480
fi
step "Checking and measuring" timeout "$limit" "$VENV_PYTHON" -m scripts.benchmark \
    --sections correctness,peak,kernels,operations,networks,modes,light,compiled --rounds 3 "${arguments[@]}"
