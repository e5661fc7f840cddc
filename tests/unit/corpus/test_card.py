"""The dataset card: what it says of columns and of luck, with evidence and without."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from search_cluster.corpus.card import render_card
from search_cluster.corpus.manifest import Manifest
from search_cluster.corpus.schema import corpus_schema


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
