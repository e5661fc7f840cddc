#!/usr/bin/env bash
# The main job of the README: search, train, evaluate, report. Every step resumes or is done already
# when run again.
# Expected on two cores: under 10 minutes; the README shows what it prints.
set -euo pipefail
RUN="${RUN:-runs/demo}"
export RAY_USAGE_STATS_ENABLED=0 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

step() { printf '\n== %s\n' "$1" >&2; }

step "1/4 search layer paths of the training questions"
search-cluster search --config deploy/runs/demo.toml --run "$RUN" --json >/dev/null

step "2/4 train the routers"
for router in drllm static; do
  router-train fit --corpus "$RUN" --router "$router" --out "$RUN/routers/$router"
done

step "3/4 evaluate on held-out questions"
for router in drllm static; do
  router-train evaluate --router "$RUN/routers/$router" --task capitals --split test --limit 200 \
    --out "$RUN/evaluations/$router.json"
done

step "4/4 report"
search-cluster report "$RUN"
