"""The figures of one preset with one budget: what it found, and how much of that holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from search_cluster.bench.fresh_judge import FreshJudge
from search_cluster.corpus.record import ExampleRecord
from search_cluster.stats import wilson_interval


def figures_of(
    records: Sequence[ExampleRecord], judge: FreshJudge, num_layers: int
) -> dict[str, Any]:
    """The figures of one preset and budget."""
    found = [(record, record.best[0].path) for record in records if record.best]
    changed = [(record, path) for record, path in found if not path.is_identity]
    holds = dict(
        zip(
            [record.example.example_id for record, _ in changed],
            judge.holds([(record.example, path) for record, path in changed]),
            strict=True,
        )
    )
    saved, verified_saved, fixed, verified_fixed = [], [], [], []
    best = {record.example.example_id: path for record, path in found}
    for record in records:
        path, held = (
            best.get(record.example.example_id),
            holds.get(record.example.example_id, False),
        )
        if record.identity is not None and record.identity.is_correct:
            num_saved = num_layers - len(path) if path is not None else 0
            saved.append(num_saved)
            verified_saved.append(num_saved * held)
        else:
            fixed.append(int(path is not None))
            verified_fixed.append(int(held))
    return {
        **_mean("verified_saved_layers", verified_saved),
        **_proportion("verified_fixed", verified_fixed),
        **_mean("saved_layers", saved),
        **_proportion("fixed", fixed),
        "holds": sum(holds.values()) / len(holds) if holds else None,
        "num_changed": len(changed),
        "num_identity_right": len(saved),
        "num_identity_wrong": len(fixed),
    }


def _proportion(name: str, values: Sequence[int]) -> dict[str, float | None]:
    """The share of ones and its 95 % Wilson interval, which also 3 of 3 have; else as `_mean`."""
    if not values:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = wilson_interval(sum(values), len(values))
    return {name: sum(values) / len(values), f"{name}_low": low, f"{name}_high": high}


def _mean(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """The mean and its 95 % bootstrap interval over questions (percentile, 2,000 resamples).

    Of no question it is ``None``.
    """
    if not values:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return {name: mean, f"{name}_low": mean, f"{name}_high": mean}
    interval = bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return {name: mean, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}
