#!/usr/bin/env bash
# The main job of the README: the best one path for a task, what it is worth, how it looks inside.
# Every step resumes, or is done already, when run again.
# Expected on two cores: about five minutes; the README shows what it prints.
set -euo pipefail
RUN="${RUN:-runs/demo}"
TASK=elements
export RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

step() { printf '\n== %s\n' "$1" >&2; }

step "1/5 scan: which one path is best for all questions of $TASK? All blocks of one or two layers
are left out, each alone; four paths that full scans found must prove themselves again"
search-cluster scan --task "$TASK" --aim layers --families skip --max-block 2 --grow 1 \
  --paths deploy/runs/elements_paths.txt --budget "${BUDGET:-10000}" --ray none --workers 2 --run "$RUN" \
  --json >/dev/null

step "2/5 the best path as a router"
router-train static "$RUN" --best --out "$RUN/routers/static"

step "3/5 the plain model and the path side by side (the path was chosen for right answers among
choices; free text may suffer)"
for prompt in "What is the chemical symbol of gold?" "Write one sentence about the sea."; do
  router-train generate --router "$RUN/routers/static" --prompt "$prompt" --max-new-tokens 32 \
    --compare
done

step "4/5 from inside: the paths that a search tries for one question, and a lens along the best"
search-cluster search --task "$TASK" --preset drllm --limit 8 --budget 40 --ray none --workers 2 \
  --run "$RUN/search" --json >/dev/null
search-cluster tree "$RUN/search"
path=$(search-cluster scan export "$RUN" --best --format layers 2>/dev/null | grep -v '^#')
search-cluster lens show --lens logit --task "$TASK" --path "${path#layers:}" --html "$RUN/lens.html"

step "5/5 report"
search-cluster report "$RUN"
