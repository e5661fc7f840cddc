"""Readouts beside each other on the same held-out questions, with paired intervals.

Shapes: U units, F facts.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from router_train.routers.shortcut.descent import Taught
from router_train.routers.shortcut.losses import Said
from search_cluster.scan.statistics.design import Facts, design_effect, effective_counts
from search_cluster.stats import (
    NORMAL_BOUND,
    adjusted_difference,
    mcnemar_p,
    wilson_interval,
)

PATH_ALONE, SHORTCUT, FULL_MODEL = "path alone", "shortcut", "full model"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Candidate:
    """One readout, and what it said of the held-out units."""

    name: str
    cost_layers: float
    """What it costs on top of the path, in layers of one row."""
    said: Said
    of_texts: Said | None
    """The same of held-out texts."""
    taught: Taught | None = None
    """``None`` where nothing was taught."""


def comparison(
    candidates: Sequence[Candidate],
    router: str = SHORTCUT,
    facts: Sequence[Hashable] | None = None,
) -> list[dict[str, Any]]:
    """A row per readout, as ``shortcut.json`` has them; one is the path alone, one the shortcut.

    Differences are paired over questions: of accuracy by Bonett and Price (2012) with the exact
    McNemar test, of means by 1.96 standard errors. Where questions ask for one fact, counts are
    divided by their design effect, and errors are of whole facts.

    Args:
        candidates: the readouts.
        router: the name of the one that is kept.
        facts: the fact that each held-out question asks for; ``None``: each another one.
    """
    by_name = {item.name: item for item in candidates}
    rows = []
    for item in candidates:
        num_right, n = int(item.said.right_U.sum()), len(item.said.right_U)
        asked = Facts.of(facts, n)
        low, high = wilson_interval(*effective_counts(item.said.right_U.double().numpy(), asked))
        row: dict[str, Any] = {
            "name": item.name,
            "is_router": item.name == router,
            "cost_layers": round(item.cost_layers, 4),
            "n": n,
            "num_facts": asked.number,
            "accuracy": num_right / n,
            "accuracy_low": low,
            "accuracy_high": high,
            "loss": float(item.said.loss_U.mean()),
            "kl_to_full": float(item.said.divergence_U.mean()),
        }
        if item.of_texts is not None:
            row["texts"] = {
                "n": len(item.of_texts.loss_U),
                "loss": float(item.of_texts.loss_U.mean()),
                "kl_to_full": float(item.of_texts.divergence_U.mean()),
            }
        if item.taught is not None:
            row["best_epoch"] = item.taught.best_epoch
            row["num_epochs"] = item.taught.num_epochs
        if item.name != PATH_ALONE:
            row["minus_path_alone"] = _differences(by_name[PATH_ALONE], item, asked)
        if item.name not in (SHORTCUT, PATH_ALONE):
            row["shortcut_minus_it"] = _differences(item, by_name[SHORTCUT], asked)
        rows.append(row)
    return rows


def _differences(first: Candidate, second: Candidate, facts: Facts) -> dict[str, Any]:
    """The second minus the first, on the same questions and texts."""
    right_U, other_U = first.said.right_U, second.said.right_U
    fixed, broken = int((other_U & ~right_U).sum()), int((right_U & ~other_U).sum())
    design = design_effect((other_U.double() - right_U.double()).numpy(), facts)
    low, high = adjusted_difference(fixed / design, broken / design, len(right_U) / design)
    found: dict[str, Any] = {
        "accuracy": {
            "mean": (fixed - broken) / len(right_U),
            "low": low,
            "high": high,
            "num_fixed": fixed,
            "num_broken": broken,
            "p_value": mcnemar_p(fixed / design, broken / design),
        },
        "loss": mean_interval(second.said.loss_U - first.said.loss_U, facts),
        "kl_to_full": mean_interval(second.said.divergence_U - first.said.divergence_U, facts),
    }
    if first.of_texts is not None and second.of_texts is not None:
        found["texts"] = {
            "loss": mean_interval(second.of_texts.loss_U - first.of_texts.loss_U),
            "kl_to_full": mean_interval(second.of_texts.divergence_U - first.of_texts.divergence_U),
        }
    return found


def mean_interval(value_U: Tensor, facts: Facts | None = None) -> dict[str, float | None]:
    """A mean with its 95 % interval, which one value, or one fact, has not."""
    mean = float(value_U.mean())
    asked = Facts.of(None, len(value_U)) if facts is None else facts
    if asked.number < 2:
        return {"mean": mean, "low": None, "high": None}
    sums_F = asked.sums(value_U.double().numpy() - mean)
    error = math.sqrt(float((sums_F**2).sum()) * asked.number / (asked.number - 1)) / len(value_U)
    half = NORMAL_BOUND * error
    return {"mean": mean, "low": mean - half, "high": mean + half}


def interval_text(found: Mapping[str, Any], *, factor: float = 1.0, digits: int = 3) -> str:
    """A difference as people read it."""
    mean = f"{factor * found['mean']:+.{digits}f}"
    if found["low"] is None:
        return mean
    return f"{mean} ({factor * found['low']:+.{digits}f} to {factor * found['high']:+.{digits}f})"


def comparison_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table in words, a readout a line."""
    lines = []
    for row in rows:
        line = (
            f"{row['name']:<17} {row['cost_layers']:.3f} layers, {100 * row['accuracy']:.1f} %, "
            f"loss {row['loss']:.4f}, KL to the full model {row['kl_to_full']:.4f}"
        )
        if "minus_path_alone" in row:
            found = row["minus_path_alone"]
            line += (
                f"; minus path alone: {interval_text(found['accuracy'], factor=100, digits=1)} "
                f"points, loss {interval_text(found['loss'])}"
            )
        lines.append(f"{line}; the router" if row["is_router"] else line)
    return lines
