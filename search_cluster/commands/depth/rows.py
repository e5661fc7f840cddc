"""A row for each position that was read, as one Parquet file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search_cluster.commands.depth.gathered import Gathered
from search_cluster.depth.onset import OWN, THRESHOLDS, onsets_of
from search_cluster.files import replaced_whole
from search_cluster.model.depth_states.tables import NO_TOKEN, ReadingTable

ROWS_NAME = "rows.parquet"
"""The file's name in the study's folder."""


def write_rows(folder: Path, gathered: Gathered) -> Path:
    """Write the rows of all experiments, atomically; returns the file.

    Raises:
        CorpusError: the operating system refused.
    """
    tables = [("text", gathered.text.table)]
    if gathered.words is not None:
        tables.append(("words", gathered.words))
    tables += [(f"facts {source}", table) for source, table in gathered.facts]
    if gathered.questions.decisions is not None:
        tables.append(("questions", gathered.questions.decisions))
    if gathered.questions.letters is not None:
        tables.append(("letters", gathered.questions.letters.table))
    rows = pa.concat_tables([_rows(name, table) for name, table in tables])
    target = folder / ROWS_NAME
    with replaced_whole(target) as temporary:
        pq.write_table(rows, temporary, compression="zstd")
    return target


def _rows(experiment: str, table: ReadingTable) -> pa.Table:
    num = table.num_positions
    parts = []
    for lens, readings in table.lenses.items():
        columns = {
            "experiment": pa.array([experiment] * num),
            "lens": pa.array([lens] * num),
            "prompt": pa.array(table.prompt_N),
            "label": pa.array(table.label_N),
            "predicted": pa.array(table.asked_NK[:, 0]),
            "asked": pa.array(
                [
                    [int(token) for token in row if token != NO_TOKEN]
                    for row in table.asked_NK[:, 1:]
                ]
            ),
            "top": _lists(readings.top_SN),
            "divergence": _lists(readings.divergence_SN),
            "entropy": _lists(readings.entropy_SN),
            "rank": _lists(readings.rank_SNK[:, :, OWN]),
        }
        for threshold in THRESHOLDS:
            onsets = onsets_of(readings.rank_SNK[:, :, OWN], threshold)
            columns[f"first_{threshold}"] = pa.array(onsets.first_N, from_pandas=True)
            columns[f"stable_{threshold}"] = pa.array(onsets.stable_N, from_pandas=True)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _lists(values_SN: np.typing.NDArray[np.generic]) -> pa.Array:
    """A list over depths for each position."""
    values_NS = np.ascontiguousarray(values_SN.T)
    flat = pa.array(values_NS.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values_NS.shape[1])
