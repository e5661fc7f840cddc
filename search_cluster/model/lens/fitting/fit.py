"""A fit of any kind: closed form first, then a descent where one is asked for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from search_cluster.errors import ConfigError
from search_cluster.model.lens.fitting.descent import DescentSettings, descend
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.ridge import RidgeFit, fit_ridge
from search_cluster.model.lens.fitting.rows_on_disk import RowsOnDisk
from search_cluster.model.lens.fitting.unfinished import Progress, UnfinishedFit
from search_cluster.model.lens.fitting.weights import TokenWeights
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.texts import TokenTexts
from search_cluster.model.loaded import LoadedModel

MOST_DESCENT_ROWS = 16_384
"""The largest number of rows that a descent goes over, at even distances in the texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How to fit."""

    kind: LensKind = LensKind.RIDGE
    weights: TokenWeights = field(default_factory=TokenWeights)
    descent: DescentSettings = field(default_factory=DescentSettings)
    most_descent_rows: int = MOST_DESCENT_ROWS

    def inputs(self, loaded: LoadedModel, texts: TokenTexts) -> dict[str, Any]:
        """All that a lens depends on, ready for JSON."""
        inputs: dict[str, Any] = {
            "model": loaded.fingerprint,
            "texts": texts.digest,
            "kind": self.kind.value,
            "weights": [sorted(self.weights.by_token.items()), self.weights.by.value],
        }
        if self.kind is not LensKind.RIDGE:
            inputs |= {"descent": asdict(self.descent), "rows": self.most_descent_rows}
        return inputs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FittedLens:
    """A lens, and how it was found."""

    lens: Lens
    found: Mapping[str, Any]
    """Figures of the fit, ready for JSON."""


def fit_lens(
    loaded: LoadedModel,
    texts: TokenTexts,
    settings: FitSettings,
    *,
    kept: Path,
    progress: Progress = lambda what, done, total: None,
) -> FittedLens:
    """Fit a lens; the same inputs give the same bytes, killed in between or not.

    Args:
        loaded: the frozen model.
        texts: at least two texts.
        settings: how to fit.
        kept: a folder in which the state is kept on the way.
        progress: see `search_cluster.model.lens.fitting.unfinished.Progress`.

    Raises:
        InvalidValueError: there are too few texts.
        ConfigError: a logit lens was asked for, which needs no fit.
        NonFiniteLogitsError: a state leads to logits that are not finite.
    """
    if settings.kind is LensKind.LOGIT:
        raise ConfigError("kind is logit: that lens has no translators, and needs no fit")
    kept.mkdir(parents=True, exist_ok=True)
    model = loaded.model
    inputs = settings.inputs(loaded, texts)
    fitted = split_sequences(texts.sequences).fitted
    descends = settings.kind is not LensKind.RIDGE
    rows = RowsOnDisk(
        kept / "rows.bin",
        num_states=loaded.num_layers + 1,
        width=int(model.config.hidden_size),
        num_rows=sum(sequence.num_rows for sequence in fitted),
        most_rows=settings.most_descent_rows,
    )
    with rows:
        ridge = fit_ridge(
            model,
            texts.sequences,
            weights=settings.weights,
            unfinished=UnfinishedFit(kept / "sums.safetensors", inputs),
            kept_rows=rows if descends else None,
            progress=progress,
        )
        found: dict[str, Any] = {"rows_fitted": ridge.num_rows, "strengths": ridge.strengths}
        if not descends:
            return FittedLens(lens=ridge.lens, found=found)
        descent = descend(
            model,
            _start(ridge, settings.kind),
            settings.kind,
            rows,
            ridge.held_out,
            settings=settings.descent,
            unfinished=UnfinishedFit(kept / "descent.safetensors", inputs),
            progress=lambda done, total: progress("steps", done, total),
        )
    found |= {
        "descent_rows": rows.num_rows,
        "best_steps": descent.best_steps,
        "loss_before": descent.loss_before,
        "loss": descent.loss,
    }
    return FittedLens(lens=descent.lens, found=found)


def _start(ridge: RidgeFit, kind: LensKind) -> Lens:
    if kind is not LensKind.BIAS:
        return ridge.lens
    return Lens(
        kind=kind,
        weight_LDD=torch.zeros_like(ridge.lens.weight_LDD),
        bias_LD=ridge.mean_change_LD,
    )
