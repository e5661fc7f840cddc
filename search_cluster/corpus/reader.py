"""Reading a corpus, finished or not.

This takes no model, no server and no cluster.
"""

from dataclasses import dataclass
from pathlib import Path

from search_cluster.corpus.manifest import MANIFEST_NAME, Manifest, Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import read_shard, shard_paths
from search_cluster.errors import CorpusError
from search_cluster.files import file_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A finished corpus, immutable."""

    manifest: Manifest
    """The corpus in short."""
    records: tuple[ExampleRecord, ...]
    """The records in the order of their example ids, so that whoever learns from them does not
    depend on who wrote first."""


def read_corpus(folder: Path) -> Corpus:
    """A finished corpus; every shard is checked against the manifest.

    Raises:
        CorpusError: the folder or its manifest is missing, or a shard is missing, changed or
            damaged.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise CorpusError(
            f"{folder} has no {MANIFEST_NAME}: the search is unfinished, or this is not a corpus "
            "folder; run the same search command again to finish it"
        )
    manifest = Manifest.from_json(path.read_bytes(), str(path))
    records: list[ExampleRecord] = []
    for shard in manifest.shards:
        file = folder / shard.name
        if not file.is_file():
            raise CorpusError(
                f"{path} lists {shard.name}, which is missing; restore the file or search again"
            )
        if file_sha256(file) != shard.sha256:
            raise CorpusError(
                f"{file} is not the file that {path} lists (another sha256): it was changed or "
                "damaged; restore it, or delete it and run the same search again"
            )
        records.extend(read_shard(file)[1])
    if len(records) != manifest.num_examples:
        raise CorpusError(
            f"{folder} holds {len(records)} examples and its manifest says "
            f"{manifest.num_examples}; the manifest was changed: delete it and run the same search "
            "again"
        )
    return Corpus(manifest=manifest, records=_by_id(records))


def read_shards(folder: Path) -> tuple[ExampleRecord, ...]:
    """The records written so far, in the order of their example ids.

    The corpus may be unfinished, or empty.

    Raises:
        CorpusError: the folder is missing, or a shard is damaged (the message names it).
    """
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is not a folder; name the folder that a search writes its corpus to"
        )
    return _by_id([record for path in shard_paths(folder) for record in read_shard(path)[1]])


def provenance_so_far(folder: Path) -> Provenance | None:
    """The provenance that a corpus was begun with; ``None``: nothing of it is on disk yet.

    Raises:
        CorpusError: the manifest or the first shard is damaged.
    """
    path = folder / MANIFEST_NAME
    if path.is_file():
        return Manifest.from_json(path.read_bytes(), str(path)).provenance
    return next((read_shard(shard)[0] for shard in shard_paths(folder)), None)


def _by_id(records: list[ExampleRecord]) -> tuple[ExampleRecord, ...]:
    return tuple(sorted(records, key=lambda record: record.example.example_id))
