"""Reading what was written, and refusing what was damaged."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.reader import read_corpus, read_shards
from search_cluster.corpus.record import ExampleRecord, PathEvidence, PathFailure, PathVerdict
from search_cluster.corpus.schema import PROVENANCE_KEY, corpus_schema, row_of
from search_cluster.corpus.shards import encode_records, read_shard, write_shard
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.errors import CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
"""NUL is included, lone surrogates are not."""


def _verdicts() -> st.SearchStrategy[Verdict]:
    return st.builds(
        Verdict,
        reward=st.floats(0, 1, width=32),
        margin=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        output=TEXT,
        num_layer_tokens=st.integers(0, 2**50),
    )


@st.composite
def _records(draw: st.DrawFn, num_layers: int) -> ExampleRecord:
    choices = draw(st.lists(TEXT, max_size=5).map(tuple))
    layers = st.lists(st.integers(0, num_layers - 1), min_size=1, max_size=12).map(tuple)
    paths = layers.map(lambda path: LayerPath(path, num_layers))
    path_verdicts = st.lists(
        st.builds(PathVerdict, path=paths, verdict=_verdicts()), max_size=4
    ).map(tuple)
    failures = st.builds(PathFailure, path=paths, kind=TEXT, message=TEXT)
    return ExampleRecord(
        example=Example(
            task=draw(TEXT),
            question=draw(TEXT),
            choices=choices,
            gold=draw(TEXT),
            gold_index=draw(st.none() | st.integers(0, 4)),
            split=draw(TEXT),
            source=draw(TEXT),
            difficulty=draw(TEXT),
        ),
        identity=draw(st.none() | _verdicts()),
        evaluated=draw(path_verdicts),
        failures=tuple(draw(st.lists(failures, max_size=2))),
        best=draw(path_verdicts),
        pareto=draw(path_verdicts),
        stop_reason=draw(TEXT),
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), num_layers=st.sampled_from([1, 30, 256, 257, 5000]))
def test_records_come_back_as_they_were(tmp_path, provenance, data, num_layers):
    records = data.draw(st.lists(_records(num_layers), min_size=1, max_size=3))
    fields = json.loads(provenance.to_json()) | {"num_layers": num_layers}
    written = Provenance.from_json(json.dumps(fields), "the test")
    path = tmp_path / "shard-00000.parquet"
    write_shard(path, encode_records(records, written))
    found_provenance, found = read_shard(path)
    assert found_provenance == written
    assert found_provenance.created_at == written.created_at
    assert found == tuple(records)
    assert corpus_digest(found) == corpus_digest(records)


def test_lone_surrogates_in_outputs_are_replaced_and_leave_the_digest_alone(
    tmp_path, provenance, record
):
    odd = record(1, output="a\ud800b\x00\U0001f600\udc00")
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add(odd)
        manifest = writer.close({})
    (found,) = read_corpus(tmp_path).records
    assert found.identity.output == "a\ufffdb\x00\U0001f600\ufffd"
    assert manifest.corpus_digest == corpus_digest([odd]) == corpus_digest([found])


def test_evidence_comes_back_and_that_of_older_corpora_too(tmp_path, provenance, record):
    guarded = replace(provenance, preset="credible", evidence="guide=3")
    plain = record(1)
    old = PathEvidence(
        path=plain.best[0].path, guide_right=3, guide_identity_right=None, num_guide=3,
        verify_right=2, verify_identity_right=2, num_verify=3, probe_right=40,
        probe_identity_right=41, num_probes=60, credible=True,
    )  # fmt: skip
    new = replace(old, num_screened=90, probe_chance=0.25)
    records = {
        name: replace(plain, evidence=(item,)) for name, item in (("old", old), ("new", new))
    }

    write_shard(tmp_path / "new.parquet", encode_records([records["new"]], guarded))
    assert read_shard(tmp_path / "new.parquet")[1] == (records["new"],)

    columns = corpus_schema(guarded.num_layers, evidence=True, later=False)
    rows = [row_of(records["old"])]
    for item in rows[0]["evidence"]:
        del item["num_screened"], item["probe_chance"]
    table = pa.Table.from_pylist(
        rows, schema=columns.with_metadata({PROVENANCE_KEY: guarded.to_json()})
    )
    pq.write_table(table, tmp_path / "old.parquet")
    assert read_shard(tmp_path / "old.parquet")[1] == (records["old"],)

    digests = {name: corpus_digest([item]) for name, item in records.items()}
    # As it was before the later columns existed:
    assert digests["old"] == "435e99d6ab84278343f43ca35999c1482d645071936fdf303135a8bd3d81e664"
    assert digests["new"] != digests["old"]


@pytest.fixture
def finished(tmp_path, provenance, record) -> Path:
    folder = tmp_path / "finished corpus"
    with CorpusWriter(folder, provenance, examples_per_shard=3) as writer:
        for number in range(5):
            writer.add(record(number))
        writer.close({"paths_searched": 15})
    return folder


def test_datasets_reads_the_folder(finished, tmp_path, record):
    (finished / "stray.json").write_text("{}")
    loaded = datasets.load_dataset(str(finished), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"].num_rows == 5
    rows = {row["example_id"]: row for row in loaded["train"]}
    row = rows[record(3).example.example_id]
    assert row["question"] == "Capital of country 3?"
    assert row["evaluated_paths"] == [[0, 1, 2, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 2, 3, 4, 5]]
    assert row["evaluated_rewards"] == [0.0, 1.0, 0.0]
    assert row["best"][0]["path"] == [0, 1, 3, 4, 5]
    assert row["identity"]["output"] == "Rome"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("plain", None),
        ("two words, lr=0.1", None),
        ("run[1]", "run1"),
        ("run*", "runs"),
        ("run?", "runs"),
        ("run{a,b}", "runa"),
        ("run[!a]", "runb"),
        ("$HOME", None),
        ("arc::easy", None),
    ],
)
def test_machine_the_card_says_what_reads_a_folder_of_whatever_name(
    tmp_path, provenance, record, monkeypatch, name, other
):
    for place, numbers in ((name, (0, 1)), (other, (2, 3, 4))):
        if place is not None:
            with CorpusWriter(tmp_path / place, provenance) as writer:
                for number in numbers:
                    writer.add(record(number))
                writer.close({})
    folder = tmp_path / name
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    known: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(folder)), known)
    rows = {row["example_id"]: row for row in known["corpus"]}
    assert rows.keys() == {record(number).example.example_id for number in (0, 1)}
    row = rows[record(1).example.example_id]
    assert row["evaluated_paths"] == [[0, 1, 2, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 2, 3, 4, 5]]
    assert read_corpus(folder).manifest.num_examples == 2


def test_the_card_explains_every_column(finished):
    card = (finished / "README.md").read_text()
    for name in datasets.Dataset.from_parquet(
        str(finished / "data/shard-00000.parquet")
    ).column_names:
        assert f"`{name}`" in card or f"{name}," in card or f", {name}" in card, name
    assert "right by luck" in card
    assert "belong to their sources" in card
    assert read_corpus(finished).manifest.corpus_digest in card


def test_a_missing_manifest_means_unfinished(finished, record):
    (finished / "manifest.json").unlink()
    with pytest.raises(
        CorpusError, match=r"no manifest.json: the search is unfinished.*same search command again"
    ):
        read_corpus(finished)
    assert len(read_shards(finished)) == 5


def test_a_missing_folder(tmp_path):
    with pytest.raises(CorpusError, match="is not a folder"):
        read_shards(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="not a corpus folder"):
        read_corpus(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -9])
def test_a_truncated_shard_is_named(finished, keep):
    shard = finished / "data/shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(
        CorpusError, match=r"shard-00001.parquet is not the file that .*another sha256"
    ):
        read_corpus(finished)
    with pytest.raises(
        CorpusError, match=r"shard .*shard-00001.parquet is damaged.*delete this file"
    ):
        read_shards(finished)


def test_a_flipped_byte_is_found_by_the_hash(finished):
    shard = finished / "data/shard-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorpusError, match="another sha256"):
        read_corpus(finished)


def test_a_missing_shard_is_named(finished):
    (finished / "data/shard-00001.parquet").unlink()
    with pytest.raises(CorpusError, match=r"lists data/shard-00001.parquet, which is missing"):
        read_corpus(finished)


def test_a_foreign_parquet_file_is_no_shard(finished):
    datasets.Dataset.from_dict({"a": [1]}).to_parquet(str(finished / "data/shard-00009.parquet"))
    with pytest.raises(CorpusError, match=r"shard-00009.parquet is damaged: .*provenance"):
        read_shards(finished)


def test_a_shard_with_other_columns_is_refused(finished, provenance, tmp_path):
    fields = json.loads(provenance.to_json()) | {"num_layers": 300}
    shard = finished / "data/shard-00000.parquet"
    _, records = read_shard(shard)
    path = tmp_path / "shard-00000.parquet"
    provenance = Provenance.from_json(json.dumps(fields), "the test")
    write_shard(path, encode_records(records, provenance))
    assert read_shard(path)[1][0].evaluated[0].path.num_layers == 300
    table = datasets.Dataset.from_parquet(str(shard)).data.table
    assert table.schema.field("evaluated_paths").type.value_type.value_type.bit_width == 8


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda manifest: manifest.pop("shards"), "shards: Field required"),
        (lambda manifest: manifest.update(extra=1), "extra: Unexpected keyword argument"),
        (
            lambda manifest: manifest["provenance"].update(seed="0"),
            "provenance.seed: Input should be a valid integer",
        ),
        (
            lambda manifest: manifest["provenance"].update(schema=2),
            "has corpus schema 2; this version reads schema 1",
        ),
        (
            lambda manifest: manifest.update(num_examples=4),
            "holds 5 examples and its manifest says 4",
        ),
    ],
)
def test_a_changed_manifest_is_refused(finished, change, text):
    path = finished / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=text):
        read_corpus(finished)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_damaged_manifest_is_refused(finished, text):
    (finished / "manifest.json").write_text(text)
    with pytest.raises(
        CorpusError,
        match=r"manifest.json does not hold a manifest of corpus schema 1.*"
        r": run the same search again",
    ):
        read_corpus(finished)


def test_a_manifest_comes_back_as_it_was(finished):
    manifest = read_corpus(finished).manifest
    assert Manifest.from_json(manifest.to_json(), "the test") == manifest
