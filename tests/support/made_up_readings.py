"""Tables of readings with made-up numbers, of which a test names those that matter."""

from collections.abc import Mapping, Sequence

import numpy as np

from search_cluster.model.depth_states.tables import LOGIT, DepthReadings, ReadingTable

NUM_BUCKETS = 4


def made_up_readings(
    top_SN: Sequence[Sequence[int]],
    *,
    rank_SNK: object = None,
    log_SNK: object = None,
    divergence_SN: object = None,
    entropy_SN: object = None,
    num_asked: int = 2,
) -> DepthReadings:
    """Readings of one lens; ranks and divergences are 0 unless they are given."""
    top = np.array(top_SN, dtype=np.int32)
    shape = top.shape
    zeros = np.zeros(shape, dtype=np.float32)

    def given(values: object, default: np.ndarray, dtype: type) -> np.ndarray:
        return default.astype(dtype) if values is None else np.array(values, dtype=dtype)

    return DepthReadings(
        top_SN=top,
        top_probability_SN=zeros + 0.5,
        gap_SN=zeros + 0.25,
        entropy_SN=given(entropy_SN, zeros, np.float32),
        divergence_SN=given(divergence_SN, zeros, np.float32),
        rank_SNK=given(rank_SNK, np.zeros((*shape, num_asked)), np.int32),
        log_probability_SNK=given(log_SNK, np.zeros((*shape, num_asked)) - 1, np.float32),
        mass_SNG=np.full((*shape, NUM_BUCKETS), 0.25, dtype=np.float32),
    )


def made_up_table(
    lenses: Mapping[str, DepthReadings] | DepthReadings,
    *,
    asked_NK: Sequence[Sequence[int]],
    prompt_N: Sequence[int] | None = None,
    label_N: Sequence[int] | None = None,
) -> ReadingTable:
    """A table; every position is a prompt of its own unless it is said."""
    if isinstance(lenses, DepthReadings):
        lenses = {LOGIT: lenses}
    num_states, num = next(iter(lenses.values())).top_SN.shape
    return ReadingTable(
        prompt_N=np.array(range(num) if prompt_N is None else prompt_N, dtype=np.int64),
        label_N=np.array([0] * num if label_N is None else label_N, dtype=np.int64),
        asked_NK=np.array(asked_NK, dtype=np.int64),
        influence_LN=np.full((num_states - 1, num), 0.1, dtype=np.float32),
        lenses=dict(lenses),
    )
