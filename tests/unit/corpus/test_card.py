"""The dataset card: what it says of columns and of luck, with evidence and without."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from search_cluster.bridged_spec import model_name
from search_cluster.corpus.card import provenance_values, render_card
from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.schema import corpus_schema
from search_cluster.paths.layer_path import LayerPath


@pytest.mark.parametrize("evidence", ["", "guide=3;verify=3;max_probe_drop=0.05"])
def test_the_card_explains_the_columns_that_are_there_and_no_others(provenance, evidence):
    manifest = Manifest(
        provenance=replace(provenance, evidence=evidence), num_examples=1, num_paths=1,
        corpus_digest="0", shards=(), summary={},
    )  # fmt: skip
    card = render_card(manifest, Path("runs/plain"))
    table = card.partition("| column | meaning |")[2].partition("## ")[0]
    explained = [
        name
        for names in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
        for name in names.split(", ")
    ]
    assert sorted(explained) == sorted(corpus_schema(6, evidence=bool(evidence)).names)
    assert (
        "asks for no evidence beside the verdict, so `best` is partly luck" in card
    ) is not bool(evidence)
    assert ("| `best` | the credible paths" in card) is bool(evidence)
    assert (f"asks for evidence (`{evidence}`): a path is credible" in card) is bool(evidence)


def test_what_nobody_set_is_said_in_words() -> None:
    provenance = Provenance(
        model_spec="/tmp/somebody/models/tiny", model_fingerprint="0" * 32, num_layers=4,
        dtype="float32", task="t", task_version="1", split="train", preset="drllm", seed=0,
        budget=2, leaves_per_round=1, limit=None, versions={}, created_at="2026-01-01",
        bridge_jumps=("1:3",), bridge_layers=0.5,
    )  # fmt: skip
    values = dict(provenance_values(provenance))
    assert (values["limit"], values["exploration"]) == ("all", "the preset's")
    assert (values["tie_threshold"], values["study"]) == ("not set", "not set")
    assert values["bridge_jumps"] == "1:3"
    assert not {"None", "", "()"} & set(values.values())
    assert provenance.costs.layers(LayerPath((0, 1, 3), 4)) == 3.5
    assert Provenance.from_json(provenance.to_json(), "x").costs == provenance.costs


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("demo", "SmolLM2-135M-Instruct (demo)"),
        ("org/name", "org/name"),
        ("/tmp/xyz/tiny", "tiny"),
        ("./models/mine", "mine"),
        ("/home/me/.cache/hub/models--org--name/snapshots/0123abcd", "org/name"),
        ("demo+bridges=runs/bridges", "SmolLM2-135M-Instruct (demo) with bridges"),
    ],
)
def test_a_model_is_called_by_its_own_name(spec: str, name: str) -> None:
    assert model_name(spec) == name
