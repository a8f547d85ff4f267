#!/usr/bin/env bash
# Everything that only a GPU can show, in less than 8 minutes on one large GPU: that every preset computes the right thing in
# float16, compiled or not; the measured peak of a step against what plans count on; the time of the modes of recomputation and
# of the light network beside stock, as nnU-Net trains them. Figures go to docs/cost-gpu.jsonl as they come, the tables of
# docs/cost.md are written from them. To see that it holds together on any machine:
#
#   scripts/gpu_check.sh --size tiny --backend aot_eager --output check.jsonl
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"

ensure_environment dev,demo
arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(--docs)
step "Checking and measuring" timeout 480 "$VENV_PYTHON" -m scripts.benchmark \
    --sections correctness,peak,modes,light,compiled --rounds 3 --minutes 7 "${arguments[@]}"
