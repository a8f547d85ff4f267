#!/usr/bin/env bash
# What only a GPU can show, as far as 8 minutes on one large GPU go, and first what isn't compiled: that every preset computes
# the right thing in float16, compiled or not; the measured peak of a step against what plans count on; where its time goes; the
# time of the networks, of the modes of recomputation and of the light network beside stock, as nnU-Net trains them. Figures go
# to docs/cost-gpu.jsonl as they come, the tables of docs/cost.md are written from them. To see that it holds together on any
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
    --sections correctness,light,peak,operations,networks,modes,compiled --rounds 3 "${arguments[@]}"
