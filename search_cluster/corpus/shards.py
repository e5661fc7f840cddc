"""Parquet shards: written whole, read with their provenance."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from search_cluster.corpus.manifest import Provenance, Shard
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.schema import (
    PROVENANCE_KEY,
    corpus_schema,
    is_corpus_schema,
    record_of,
    row_of,
)
from search_cluster.errors import CorpusError, InvalidValueError
from search_cluster.files import file_sha256, replaced_whole

DATA_FOLDER = "data"
"""The folder of the shards inside a corpus folder."""


def shard_paths(folder: Path) -> tuple[Path, ...]:
    """The shards in a corpus folder, in the order of their numbers."""
    return tuple(sorted((folder / DATA_FOLDER).glob("shard-*.parquet")))


def shard_path(folder: Path, number: int) -> Path:
    """Where the shard of that number lies; shards count from 0."""
    return folder / DATA_FOLDER / f"shard-{number:05d}.parquet"


def encode_records(records: Sequence[ExampleRecord], provenance: Provenance) -> bytes:
    """The bytes of a shard with these records: one zstd-compressed Parquet file."""
    schema = corpus_schema(provenance.num_layers, evidence=bool(provenance.evidence)).with_metadata(
        {PROVENANCE_KEY: provenance.to_json()}
    )
    table = pa.Table.from_pylist([row_of(record) for record in records], schema=schema)
    stream = pa.BufferOutputStream()
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        writer.write_table(table)
    data: bytes = stream.getvalue().to_pybytes()
    return data


def write_shard(path: Path, data: bytes) -> None:
    """Write the bytes of a shard, atomically.

    Raises:
        CorpusError: the operating system refused.
    """
    with replaced_whole(path) as temporary:
        temporary.write_bytes(data)


def describe_shard(folder: Path, path: Path, num_rows: int, data: bytes | None = None) -> Shard:
    """The manifest's entry for a shard.

    Args:
        folder: the corpus.
        path: the file.
        num_rows: the number of examples in it.
        data: what was just written there; ``None``: the file is read.
    """
    digest = file_sha256(path) if data is None else hashlib.sha256(data).hexdigest()
    return Shard(name=path.relative_to(folder).as_posix(), num_rows=num_rows, sha256=digest)


def read_shard(path: Path) -> tuple[Provenance, tuple[ExampleRecord, ...]]:
    """The provenance and the records of one shard, in the order in which they were written.

    Raises:
        CorpusError: the file is missing, damaged, not a shard, or holds values that can't be.
    """
    try:
        return _decoded(path, str(path))
    except (pa.ArrowException, OSError, InvalidValueError, CorpusError, TypeError) as error:
        raise CorpusError(
            f"shard {path} is damaged: {error}; delete this file and run the same search again: it "
            "searches the missing examples only"
        ) from error


def decode_records(data: bytes) -> tuple[ExampleRecord, ...]:
    """The records that `encode_records` was given."""
    return _decoded(io.BytesIO(data), "a shard")[1]


def _decoded(file: Path | io.BytesIO, source: str) -> tuple[Provenance, tuple[ExampleRecord, ...]]:
    with pq.ParquetFile(file) as parquet:
        table = parquet.read()
    provenance = Provenance.from_json(
        (table.schema.metadata or {}).get(PROVENANCE_KEY, b"{}"), source
    )
    if not is_corpus_schema(
        table.schema, provenance.num_layers, evidence=bool(provenance.evidence)
    ):
        raise CorpusError("its columns are not those of a shard of this version")
    return provenance, tuple(record_of(row, provenance.num_layers) for row in table.to_pylist())
