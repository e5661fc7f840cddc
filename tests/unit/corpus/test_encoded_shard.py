"""Shards that one process makes and another writes: the same files, digests and figures."""

from dataclasses import replace

from search_cluster.corpus.digest import record_digest
from search_cluster.corpus.encoded_shard import SavedLayers, encode_shard, saved_layers
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.shards import decode_records
from search_cluster.corpus.writer import CorpusWriter


def test_a_shard_made_elsewhere_is_the_file_that_the_writer_would_write(
    tmp_path, provenance, record
):
    records = [record(number) for number in range(5)]
    shard = encode_shard(records, provenance)
    assert decode_records(shard.data) == tuple(records)
    assert [item.digest for item in shard.new] == [record_digest(item) for item in records]
    for name in ("here", "elsewhere"):
        with CorpusWriter(tmp_path / name, provenance, examples_per_shard=5) as writer:
            if name == "here":
                for item in records:
                    writer.add(item)
            else:
                writer.add_shard(shard)
            writer.close({"name": "x"})
    here, elsewhere = (read_corpus(tmp_path / name) for name in ("here", "elsewhere"))
    assert here.manifest == elsewhere.manifest
    assert here.manifest.num_paths == sum(len(item.evaluated) for item in records)
    assert [
        (tmp_path / name / "data/shard-00000.parquet").read_bytes()
        for name in ("here", "elsewhere")
    ] == [shard.data] * 2


def test_a_shard_of_known_examples_alone_holds_nothing(tmp_path, provenance, record):
    shard = encode_shard([], provenance, [record(1)])
    assert (shard.data, shard.new) == (b"", ())
    assert [item.example_id for item in shard.ended] == [record(1).example.example_id]
    with CorpusWriter(tmp_path, provenance) as writer:
        writer.add_shard(shard)
        assert writer.close({}).shards == ()


def test_what_the_best_path_saves_and_whether_evidence_speaks_for_it(record, evidence):
    item = record(1)
    best = item.best[0].path
    plain = SavedLayers(num_layers=best.num_layers - len(best), is_verified=False)
    assert saved_layers(item) == plain
    proof = evidence(best, credible=True)
    assert saved_layers(replace(item, evidence=(proof,))) == replace(plain, is_verified=True)
    for weak in (replace(proof, num_verify=0), replace(proof, credible=False)):
        assert saved_layers(replace(item, evidence=(weak,))) == plain
    assert saved_layers(replace(item, best=())) is None
