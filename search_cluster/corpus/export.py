"""Exports for other tools.

These are PoLar's supervision file, Dr.LLM's decision vectors, and one flat Parquet table.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.corpus.schema import PROVENANCE_KEY, layer_type
from search_cluster.files import replaced_whole, storable_text, write_text_whole
from search_cluster.paths.layer_path import REPEAT, LayerPath

EXAMPLES_PER_ROW_GROUP = 512
"""This bounds the memory of `export_parquet`."""


def export_polar(corpus: Corpus, out: Path) -> int:
    """Write PoLar's ``merged_mcts_samples.json`` (arXiv 2606.06574): one object per example.

    The keys are those that PoLar trains on: ``question``, ``gt_ans``, ``initial_score`` (the plain
    model's reward, null if it failed), ``final_valid_transitions`` and
    ``final_invalid_transitions`` (right and wrong paths other than identity, as lists of layer
    indices, in the order in which they were tried). ``query_id`` is the example's id, and
    ``choices`` are there where the task has some. If the corpus' preset asked for evidence, only
    credible paths are listed as right; a right path without evidence may be luck, and is in neither
    list.

    Returns:
        The number of examples written.

    Raises:
        CorpusError: the operating system refused.
    """
    guarded = bool(corpus.manifest.provenance.evidence)
    samples = [_polar_sample(record, guarded=guarded) for record in corpus.records]
    write_text_whole(out, json.dumps(samples, ensure_ascii=False, indent=1) + "\n")
    return len(samples)


def export_decisions(corpus: Corpus, out: Path) -> int:
    """Write Dr.LLM's supervision (arXiv 2510.12773) as JSON Lines: one decision vector per example.

    ``decisions`` holds 0 (skip), 1 (execute) or 2 (repeat) per layer, of the first best path that
    has such a vector: one that keeps the model's order and runs no layer more than twice. Examples
    without one are left out. Best paths are credible if the corpus' preset asked for evidence.

    Returns:
        The number of examples written.

    Raises:
        CorpusError: the operating system refused.
    """
    rows = [row for record in corpus.records if (row := _decision_row(record)) is not None]
    write_text_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def export_parquet(corpus: Corpus, out: Path) -> int:
    """Write one flat Parquet file with a row per evaluated path, for SQL and data frames.

    ``credible`` is null if the corpus' preset asked for no evidence; else it is true for identity
    and for the paths that have the evidence.

    Returns:
        The number of rows written.

    Raises:
        CorpusError: the operating system refused.
    """
    provenance = corpus.manifest.provenance
    guarded = bool(provenance.evidence)
    schema = _flat_schema(provenance.num_layers).with_metadata(
        {PROVENANCE_KEY: provenance.to_json()}
    )
    num_rows = 0
    with (
        replaced_whole(out) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for first in range(0, len(corpus.records), EXAMPLES_PER_ROW_GROUP):
            records = corpus.records[first : first + EXAMPLES_PER_ROW_GROUP]
            rows = [row for record in records for row in flat_rows(record, guarded=guarded)]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            num_rows += len(rows)
    return num_rows


def _credible_paths(record: ExampleRecord) -> frozenset[LayerPath]:
    return frozenset(item.path for item in record.evidence if item.credible)


def _polar_sample(record: ExampleRecord, *, guarded: bool) -> dict[str, Any]:
    example = record.example
    others = [item for item in record.evaluated if not item.path.is_identity]
    right = [item.path for item in others if item.verdict.is_correct]
    credible = _credible_paths(record) if guarded else frozenset(right)
    sample: dict[str, Any] = {
        "query_id": example.example_id,
        "question": example.question,
        "gt_ans": example.gold,
        "initial_score": None if record.identity is None else record.identity.reward,
        "final_valid_transitions": [list(path.layers) for path in right if path in credible],
        "final_invalid_transitions": [
            list(item.path.layers) for item in others if not item.verdict.is_correct
        ],
    }
    if example.choices:
        sample["choices"] = list(example.choices)
    return sample


def _decision_row(record: ExampleRecord) -> dict[str, Any] | None:
    best = next((item for item in record.best if _has_decision_vector(item)), None)
    if best is None:
        return None
    example = record.example
    return {
        "example_id": example.example_id,
        "question": example.question,
        "choices": list(example.choices),
        "answer": example.gold,
        "decisions": list(best.path.decisions()),
        "num_layers_run": len(best.path),
        "reward": best.verdict.reward,
        "identity_correct": record.identity is not None and record.identity.is_correct,
    }


def _has_decision_vector(item: PathVerdict) -> bool:
    return item.path.keeps_order and max(item.path.counts()) <= REPEAT


def _flat_schema(num_layers: int) -> Any:
    return pa.schema(
        [
            ("example_id", pa.string()),
            ("task", pa.string()),
            ("split", pa.string()),
            ("question", pa.string()),
            ("gold", pa.string()),
            ("order_tried", pa.int32()),
            ("path", pa.list_(layer_type(num_layers))),
            ("num_layers_run", pa.int32()),
            ("is_identity", pa.bool_()),
            ("reward", pa.float32()),
            ("margin", pa.float64()),
            ("output", pa.string()),
            ("num_layer_tokens", pa.int64()),
            ("best_rank", pa.int32()),
            ("on_pareto_front", pa.bool_()),
            ("credible", pa.bool_()),
        ]
    )


def flat_rows(record: ExampleRecord, *, guarded: bool) -> list[dict[str, Any]]:
    """A row for each path that was evaluated, as `export_parquet` writes it.

    Args:
        record: of an example.
        guarded: whether the corpus' preset asked for evidence.
    """
    example = record.example
    credible = _credible_paths(record)
    ranks = {item.path: rank for rank, item in enumerate(record.best)}
    front = {item.path for item in record.pareto}
    return [
        {
            "example_id": example.example_id,
            "task": example.task,
            "split": example.split,
            "question": example.question,
            "gold": example.gold,
            "order_tried": order,
            "path": list(item.path.layers),
            "num_layers_run": len(item.path),
            "is_identity": item.path.is_identity,
            "reward": item.verdict.reward,
            "margin": item.verdict.margin,
            "output": storable_text(item.verdict.output),
            "num_layer_tokens": item.verdict.num_layer_tokens,
            "best_rank": ranks.get(item.path),
            "on_pareto_front": item.path in front,
            "credible": (item.path.is_identity or item.path in credible) if guarded else None,
        }
        for order, item in enumerate(record.evaluated)
    ]
