"""The figures of one preset with one budget: what it found, and how much of that holds."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from search_cluster.bench.fresh_judge import FreshJudge
from search_cluster.corpus.record import ExampleRecord
from search_cluster.scan.statistics.design import Facts, Floats, effective_counts
from search_cluster.stats import wilson_interval


def figures_of(
    records: Sequence[ExampleRecord],
    judge: FreshJudge,
    num_layers: int,
    fact_of: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The figures of one preset and budget.

    Args:
        records: what was found.
        judge: says what holds.
        num_layers: of the plain model.
        fact_of: the fact that a question asks for, by its id; ``None``: each another one.
    """
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
    right_facts, wrong_facts = list[Hashable](), list[Hashable]()
    best = {record.example.example_id: path for record, path in found}
    for record in records:
        name = record.example.example_id
        path, held = best.get(name), holds.get(name, False)
        fact = name if fact_of is None else fact_of[name]
        if record.identity is not None and record.identity.is_correct:
            num_saved = num_layers - len(path) if path is not None else 0
            saved.append(num_saved)
            verified_saved.append(num_saved * held)
            right_facts.append(fact)
        else:
            fixed.append(int(path is not None))
            verified_fixed.append(int(held))
            wrong_facts.append(fact)
    return {
        **_mean("verified_saved_layers", verified_saved, right_facts),
        **_proportion("verified_fixed", verified_fixed, wrong_facts),
        **_mean("saved_layers", saved, right_facts),
        **_proportion("fixed", fixed, wrong_facts),
        "holds": sum(holds.values()) / len(holds) if holds else None,
        "num_changed": len(changed),
        "num_identity_right": len(saved),
        "num_identity_wrong": len(fixed),
    }


def _proportion(
    name: str, values: Sequence[int], facts: Sequence[Hashable]
) -> dict[str, float | None]:
    """The share of ones and its 95 % Wilson interval, which also 3 of 3 have; else as `_mean`."""
    if not values:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    of_facts = Facts.of(facts, len(values))
    low, high = wilson_interval(*effective_counts(np.array(values, dtype=np.float64), of_facts))
    return {name: sum(values) / len(values), f"{name}_low": low, f"{name}_high": high}


def _mean(name: str, values: Sequence[float], facts: Sequence[Hashable]) -> dict[str, float | None]:
    """The mean and its 95 % bootstrap interval over facts (percentile, 2,000 resamples).

    Of no question it is ``None``.
    """
    if not values:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return {name: mean, f"{name}_low": mean, f"{name}_high": mean}
    of_facts = Facts.of(facts, len(values))
    if of_facts.number == 1:  # that says nothing of other facts
        return {name: mean, f"{name}_low": None, f"{name}_high": None}
    sums_F = of_facts.sums(np.array(values, dtype=np.float64))
    counts_F = of_facts.sums(np.ones(len(values)))
    interval = bootstrap(
        (sums_F, counts_F),
        _ratio,
        paired=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {name: mean, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _ratio(sums_F: Floats, counts_F: Floats, axis: int = -1) -> Floats:
    """The mean over questions of whole facts."""
    ratio: Floats = sums_F.sum(axis=axis) / counts_F.sum(axis=axis)
    return ratio
