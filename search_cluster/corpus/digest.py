"""The corpus digest, which is equal for equal searches.

The workers, the cache, the order and the shards play no part in it.

It covers everything but margins (arithmetic noise), the source of an example (where a file lies)
and the messages of failures (free text of libraries). A record's digest is the sha256 of a
canonical JSON; the corpus digest is the sha256 over the lines ``example_id record_digest`` in the
order of the ids.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from search_cluster.corpus.record import LATER_EVIDENCE, ExampleRecord, PathEvidence, PathVerdict
from search_cluster.files import storable_text
from search_cluster.tasks.verdict import Verdict

DIGEST_SCHEMA = 1
"""Changes whenever the canonical form changes."""


def corpus_digest(records: Iterable[ExampleRecord]) -> str:
    """The digest of distinct records, in whatever order they come: 64 hexadecimal digits."""
    return combined_digest({record.example.example_id: record_digest(record) for record in records})


def combined_digest(digest_by_id: Mapping[str, str]) -> str:
    """The corpus digest of records whose own digests are known."""
    lines = [
        f"corpus {DIGEST_SCHEMA}\n",
        *(f"{key} {digest_by_id[key]}\n" for key in sorted(digest_by_id)),
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def record_digest(record: ExampleRecord) -> str:
    """The sha256, in hexadecimal, of one record's canonical form."""
    example = record.example
    content: list[Any] = [
        [example.example_id, example.task, example.split, example.difficulty],
        [example.question, list(example.choices), example.gold, example.gold_index],
        None if record.identity is None else _verdict(record.identity),
        [_path_verdict(item) for item in record.evaluated],
        [[list(failure.path.layers), failure.kind] for failure in record.failures],
        [_path_verdict(item) for item in record.best],
        [_path_verdict(item) for item in record.pareto],
        record.stop_reason,
    ]
    if record.evidence or record.unguarded:
        content += [
            [_evidence(item) for item in record.evidence],
            [_path_verdict(item) for item in record.unguarded],
        ]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(storable_text(text).encode()).hexdigest()


def _evidence(item: PathEvidence) -> list[Any]:
    values = asdict(item)
    del values["path"]
    later = [values.pop(name) for name in LATER_EVIDENCE]
    return [
        list(item.path.layers),
        *values.values(),
        *(later if item.num_screened is not None else ()),
    ]


def _path_verdict(item: PathVerdict) -> list[Any]:
    return [list(item.path.layers), *_verdict(item.verdict)]


def _verdict(verdict: Verdict) -> list[Any]:
    # Shards hold rewards as float32, so that is the form that is hashed.
    return [
        struct.pack(">f", verdict.reward).hex(),
        storable_text(verdict.output),
        verdict.num_layer_tokens,
    ]
