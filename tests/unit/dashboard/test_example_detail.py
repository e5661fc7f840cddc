"""What the page is told of one example."""

import json
from dataclasses import replace

from support.run_folders import PROVENANCE, all_kinds, example, searched, solved_by

from search_cluster.corpus.record import PathEvidence, PathFailure
from search_cluster.dashboard.example_detail import describe_example


def test_paths_verdicts_and_nodes_belong_together() -> None:
    for record in all_kinds():
        shown = json.loads(json.dumps(describe_example(record, PROVENANCE), allow_nan=False))
        assert len(shown["paths"]) == len(record.evaluated) + len(record.failures)
        assert {node["path"] for node in shown["graph"]["nodes"]} == {
            path["path"] for path in shown["paths"]
        }
        for path, item in zip(shown["paths"], record.evaluated, strict=False):
            assert (path["path"], path["reward"]) == (str(item.path), item.verdict.reward)
            assert sum(path["uses"]) == path["num_layers"] == len(item.path)
        best = [path["path"] for path in shown["paths"] if path["best_rank"] == 0]
        assert best == [str(item.path) for item in record.best[:1]]


def test_evidence_and_luck_are_told_apart() -> None:
    provenance = replace(PROVENANCE, preset="credible", evidence="guide=3")
    record = searched(example(0), solved_by(2, 3, 4, 5))
    lucky, identity = record.best[0], record.evaluated[0]
    evidence = PathEvidence(
        path=lucky.path, guide_right=1, guide_identity_right=2, num_guide=3, verify_right=0,
        verify_identity_right=0, num_verify=0, probe_right=40, probe_identity_right=50,
        num_probes=90, credible=False, num_screened=135, probe_chance=0.25,
    )  # fmt: skip
    failure = PathFailure(path=identity.path, kind="PromptTooLongError", message="a perturbation")
    record = replace(record, best=(), unguarded=(lucky,), evidence=(evidence,), failures=(failure,))
    shown = describe_example(record, provenance)
    by_path = {path["path"]: path for path in shown["paths"] if "failure" not in path}
    assert by_path[str(lucky.path)]["is_unproven"]
    seen = by_path[str(lucky.path)]["evidence"]
    assert [round(seen["probe_share"][name], 3) for name in ("low", "share", "high")] == [
        0.346,
        0.444,
        0.547,
    ]
    assert seen == {
        "probe_share": seen["probe_share"], "probe_chance": 0.25, "num_screened": 135,
        "guide": [1, 2, 3], "verify": [0, 0, 0], "probe": [40, 50, 90], "credible": False,
    }  # fmt: skip
    assert by_path[str(identity.path)]["evidence"] is None
    assert shown["outcome"] == "unsolved"
    assert "preset credible walks no tree" in shown["graph"]["note"]
    assert len(shown["graph"]["nodes"]) == len(record.evaluated), (
        "the failed perturbation is no path of its own"
    )
    assert len(shown["paths"]) == len(record.evaluated) + 1
