"""The Parquet columns: one row per example.

Paths are lists of layer indices (``uint8``, or ``uint16`` for models of more than 256 layers), so
that DuckDB, pandas and `datasets` read them without this project. Columns named ``evaluated_*`` are
parallel lists. Margins have a column of their own because they carry arithmetic noise, which
nothing else in a row does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from search_cluster.corpus.record import (
    LATER_EVIDENCE,
    ExampleRecord,
    PathEvidence,
    PathFailure,
    PathVerdict,
)
from search_cluster.errors import CorpusError
from search_cluster.files import storable_text
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

PROVENANCE_KEY = b"search_cluster.provenance"
"""The key of the provenance in the metadata of a shard's schema."""


COUNTS = (
    "guide_right", "guide_identity_right", "num_guide", "verify_right", "verify_identity_right",
    "num_verify", "probe_right", "probe_identity_right", "num_probes",
)  # fmt: skip
"""The names of the counts in `PathEvidence`."""


def is_corpus_schema(
    schema: Any, num_layers: int, *, evidence: bool, without: Collection[str] = ()
) -> bool:
    """Whether these are the columns of `corpus_schema`, but for some.

    Columns of before `LATER_EVIDENCE` count, too.
    """
    known = [corpus_schema(num_layers, evidence=evidence, later=later) for later in (True, False)]
    return any(
        schema.equals(pa.schema([field for field in item if field.name not in without]))
        for item in known
    )


def corpus_schema(num_layers: int, *, evidence: bool, later: bool = True) -> Any:
    """The Arrow schema of shards for a model of ``num_layers`` layers.

    Args:
        num_layers: the depth of the model.
        evidence: whether the preset asked for evidence, so that there are columns for it.
        later: whether to include what older corpora lack.
    """
    path = pa.list_(layer_type(num_layers))
    verdict = [("reward", pa.float32()), ("margin", pa.float64()), ("output", pa.string())]
    verdict.append(("num_layer_tokens", pa.int64()))
    path_verdict = pa.struct([("path", path), *verdict])
    proofs = [("path", path), *((name, pa.int32()) for name in COUNTS), ("credible", pa.bool_())]
    if later:
        proofs += zip(LATER_EVIDENCE, (pa.int32(), pa.float64()), strict=True)
    of_evidence = [
        ("evidence", pa.list_(pa.struct(proofs))),
        ("unguarded", pa.list_(path_verdict)),
    ]
    return pa.schema(
        [
            ("example_id", pa.string()),
            ("task", pa.string()),
            ("split", pa.string()),
            ("question", pa.string()),
            ("choices", pa.list_(pa.string())),
            ("gold", pa.string()),
            ("gold_index", pa.int32()),
            ("difficulty", pa.string()),
            ("source", pa.string()),
            ("identity", pa.struct(verdict)),
            ("evaluated_paths", pa.list_(path)),
            ("evaluated_rewards", pa.list_(pa.float32())),
            ("evaluated_margins", pa.list_(pa.float64())),
            ("evaluated_outputs", pa.list_(pa.string())),
            ("evaluated_num_layer_tokens", pa.list_(pa.int64())),
            (
                "failures",
                pa.list_(
                    pa.struct([("path", path), ("kind", pa.string()), ("message", pa.string())])
                ),
            ),
            ("best", pa.list_(path_verdict)),
            ("pareto", pa.list_(path_verdict)),
            ("stop_reason", pa.string()),
            *(of_evidence if evidence else ()),
        ]
    )


def layer_type(num_layers: int) -> Any:
    """The Arrow type of a layer index."""
    return pa.uint8() if num_layers <= 256 else pa.uint16()


def row_of(record: ExampleRecord) -> dict[str, Any]:
    """A record as the columns of `corpus_schema`."""
    example, evaluated = record.example, record.evaluated
    return {
        "example_id": example.example_id,
        "task": example.task,
        "split": example.split,
        "question": example.question,
        "choices": list(example.choices),
        "gold": example.gold,
        "gold_index": example.gold_index,
        "difficulty": storable_text(example.difficulty),
        "source": storable_text(example.source),
        "identity": None if record.identity is None else _verdict_row(record.identity),
        "evaluated_paths": [list(item.path.layers) for item in evaluated],
        "evaluated_rewards": [item.verdict.reward for item in evaluated],
        "evaluated_margins": [item.verdict.margin for item in evaluated],
        "evaluated_outputs": [storable_text(item.verdict.output) for item in evaluated],
        "evaluated_num_layer_tokens": [item.verdict.num_layer_tokens for item in evaluated],
        "failures": [
            {
                "path": list(item.path.layers),
                "kind": storable_text(item.kind),
                "message": storable_text(item.message),
            }
            for item in record.failures
        ],
        "best": [_path_verdict_row(item) for item in record.best],
        "pareto": [_path_verdict_row(item) for item in record.pareto],
        "stop_reason": record.stop_reason,
        "evidence": [asdict(item) | {"path": list(item.path.layers)} for item in record.evidence],
        "unguarded": [_path_verdict_row(item) for item in record.unguarded],
    }


def record_of(row: Mapping[str, Any], num_layers: int) -> ExampleRecord:
    """The record in a row that has the columns of `corpus_schema`.

    Raises:
        InvalidValueError: a path or a verdict has a value that can't be.
        CorpusError: parallel columns have different lengths, or an id is not the hash of the
            content.
    """
    example = Example(
        task=row["task"],
        question=row["question"],
        choices=tuple(row["choices"]),
        gold=row["gold"],
        gold_index=row["gold_index"],
        split=row["split"],
        source=row["source"],
        difficulty=row["difficulty"],
    )
    if example.example_id != row["example_id"]:
        raise CorpusError(
            f"example {row['example_id']} has the content of example {example.example_id}"
        )
    return ExampleRecord(
        example=example,
        identity=None if row["identity"] is None else _verdict(row["identity"]),
        evaluated=_evaluated(row, num_layers),
        failures=tuple(
            PathFailure(
                path=LayerPath(tuple(item["path"]), num_layers),
                kind=item["kind"],
                message=item["message"],
            )
            for item in row["failures"]
        ),
        best=_path_verdicts(row["best"], num_layers),
        pareto=_path_verdicts(row["pareto"], num_layers),
        stop_reason=row["stop_reason"],
        evidence=tuple(
            PathEvidence(**item | {"path": LayerPath(tuple(item["path"]), num_layers)})
            for item in row.get("evidence", ())
        ),
        unguarded=_path_verdicts(row.get("unguarded", ()), num_layers),
    )


def _evaluated(row: Mapping[str, Any], num_layers: int) -> tuple[PathVerdict, ...]:
    names = ("paths", "rewards", "margins", "outputs", "num_layer_tokens")
    columns = [row[f"evaluated_{name}"] for name in names]
    if len({len(column) for column in columns}) > 1:
        lengths = {name: len(column) for name, column in zip(names, columns, strict=True)}
        raise CorpusError(
            f"example {row['example_id']} has evaluated columns of different lengths: {lengths}"
        )
    return tuple(
        PathVerdict(
            path=LayerPath(tuple(layers), num_layers),
            verdict=Verdict(
                reward=reward, margin=margin, output=output, num_layer_tokens=num_layer_tokens
            ),
        )
        for layers, reward, margin, output, num_layer_tokens in zip(*columns, strict=True)
    )


def _path_verdicts(rows: Sequence[Mapping[str, Any]], num_layers: int) -> tuple[PathVerdict, ...]:
    return tuple(
        PathVerdict(path=LayerPath(tuple(row["path"]), num_layers), verdict=_verdict(row))
        for row in rows
    )


def _path_verdict_row(item: PathVerdict) -> dict[str, Any]:
    return {"path": list(item.path.layers), **_verdict_row(item.verdict)}


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return {
        "reward": verdict.reward,
        "margin": verdict.margin,
        "output": storable_text(verdict.output),
        "num_layer_tokens": verdict.num_layer_tokens,
    }


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        reward=row["reward"],
        margin=row["margin"],
        output=row["output"],
        num_layer_tokens=row["num_layer_tokens"],
    )
