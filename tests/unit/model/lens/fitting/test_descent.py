import dataclasses
from pathlib import Path

import pytest
import torch
from support import tiny
from support.model_doubles import loaded_tiny
from torch import Tensor

from search_cluster.errors import ConfigError
from search_cluster.model.lens.fitting.descent import DescentSettings
from search_cluster.model.lens.fitting.fit import FitSettings, FittedLens, fit_lens
from search_cluster.model.lens.fitting.rows import NO_TOKEN, read_rows
from search_cluster.model.lens.fitting.rows_on_disk import RowsOnDisk
from search_cluster.model.lens.fitting.weights import TokenWeights
from search_cluster.model.lens.folder import lens_digest
from search_cluster.model.lens.judged import LOGIT, TUNED, judge_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import TokenTexts
from search_cluster.model.loaded import LoadedModel

SETTINGS = FitSettings(
    kind=LensKind.KL,
    descent=DescentSettings(num_epochs=2, rows_per_step=64, rate=3e-3, steps_per_reading=4),
)


def texts_of(loaded: LoadedModel, seed: int = 0) -> TokenTexts:
    return texts_of_model(loaded, num_tokens=80 * 24, length=24, seed=seed)


def fitted(
    loaded: LoadedModel, folder: Path, settings: FitSettings = SETTINGS, seed: int = 0
) -> FittedLens:
    return fit_lens(loaded, texts_of(loaded, seed), settings, kept=folder)


def mean_divergence(loaded: LoadedModel, lens: Lens, way: str = TUNED) -> Tensor:
    figures = judge_lens(loaded.model, lens, texts_of(loaded, seed=5).sequences, one_off=False)
    return torch.tensor(figures.divergence(way)[:-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[] if name in tiny.QUICK_FAMILIES else [pytest.mark.slow])
        for name in tiny.FAMILIES
    ],
)
def test_a_descent_never_ends_worse_than_it_began_on_the_rows_that_choose(
    tmp_path: Path, family: str, dtype: torch.dtype
) -> None:
    loaded = loaded_tiny(tiny.tiny_model(family).to(dtype))
    found = fitted(loaded, tmp_path).found
    assert all(a <= b for a, b in zip(found["loss"], found["loss_before"], strict=True))
    assert any(a < b for a, b in zip(found["loss"], found["loss_before"], strict=True))
    assert all(step in (*range(0, 54, 4), 54) for step in found["best_steps"])


def test_a_descent_on_the_divergence_is_nearer_to_the_end_on_fresh_texts(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    settings = dataclasses.replace(
        SETTINGS, descent=dataclasses.replace(SETTINGS.descent, num_epochs=8)
    )
    lens = fitted(loaded, tmp_path / "kl", settings).lens
    ridge = fitted(loaded, tmp_path / "ridge", FitSettings()).lens
    assert lens.kind is LensKind.KL
    assert mean_divergence(loaded, lens).mean() < mean_divergence(loaded, ridge).mean()
    logit = mean_divergence(loaded, ridge, LOGIT)
    assert bool((mean_divergence(loaded, lens) < logit).all())


def test_a_descent_on_the_true_token_lowers_its_cross_entropy(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    settings = dataclasses.replace(SETTINGS, kind=LensKind.CE)
    fit = fitted(loaded, tmp_path, settings)
    assert fit.lens.kind is LensKind.CE
    # The loss is of true tokens: nearly that of guesses in a model that draws at random.
    assert min(fit.found["loss_before"]) > 1.0
    assert sum(fit.found["loss"]) < sum(fit.found["loss_before"])


def test_a_lens_of_biases_has_no_weights(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    lens = fitted(loaded, tmp_path, dataclasses.replace(SETTINGS, kind=LensKind.BIAS)).lens
    assert lens.kind is LensKind.BIAS
    assert not bool(lens.weight_LDD.any())
    assert bool((mean_divergence(loaded, lens) < mean_divergence(loaded, lens, LOGIT)).all())


def test_what_is_left_of_a_descent_on_one_depth_is_the_translator_it_moved(tmp_path: Path) -> None:
    """W + V / deviation, with its bias, reads as the moved parts do: the losses are the same."""
    loaded = loaded_tiny()
    texts = texts_of(loaded)
    fit = fit_lens(loaded, texts, SETTINGS, kept=tmp_path)
    from search_cluster.model.lens.fitting.divergence import candidate_divergences
    from search_cluster.model.lens.fitting.held_out import HeldOutRows, split_sequences

    rows = HeldOutRows.read(loaded.model, split_sequences(texts.sequences).held_out)
    for depth, loss in enumerate(fit.found["loss"]):
        state_ND = fit.lens.translate(rows.states_SND[depth], depth)
        [read] = candidate_divergences(loaded.model, rows.states_SND[-1], [state_ND]).tolist()
        assert read == pytest.approx(loss, rel=1e-3)


class KillError(Exception):
    pass


@pytest.mark.parametrize("kind", [LensKind.KL, LensKind.BIAS])
@pytest.mark.parametrize("kills", [(("texts", 40),), (("steps", 3), ("steps", 17), ("steps", 54))])
def test_a_descent_that_was_killed_goes_on_to_the_same_lens(
    tmp_path: Path,
    kills: tuple[tuple[str, int], ...],
    kind: LensKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "search_cluster.model.lens.fitting"
    monkeypatch.setattr(f"{module}.rows.ROWS_PER_PASS", 100)
    monkeypatch.setattr(f"{module}.unfinished.KEPT_EVERY_S", 0.0)
    loaded = loaded_tiny()
    settings = dataclasses.replace(SETTINGS, kind=kind)
    whole = lens_digest(fitted(loaded, tmp_path / "whole", settings).lens)
    assert whole == lens_digest(fitted(loaded, tmp_path / "again", settings).lens)
    texts = texts_of(loaded)
    told: list[tuple[str, int, int]] = []
    for kill in kills:

        def progress(what: str, done: int, total: int, kill: tuple[str, int] = kill) -> None:
            told.append((what, done, total))
            if what == kill[0] and done >= kill[1]:
                raise KillError

        with pytest.raises(KillError):
            fit_lens(loaded, texts, settings, kept=tmp_path / "killed", progress=progress)
    if kills[-1][0] == "steps":  # steps are not repeated
        steps = [done for what, done, _ in told if what == "steps"]
        assert steps == sorted(set(steps))
    fit = fit_lens(loaded, texts, settings, kept=tmp_path / "killed")
    assert lens_digest(fit.lens) == whole


def test_a_fit_of_other_settings_does_not_go_on_from_it(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    fitted(loaded, tmp_path / "same")
    other = dataclasses.replace(SETTINGS, weights=TokenWeights(by_token={40: 0.0}))
    alone = lens_digest(fitted(loaded, tmp_path / "alone", other).lens)
    assert lens_digest(fitted(loaded, tmp_path / "same", other).lens) == alone


def test_the_logit_lens_is_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs no fit"):
        fitted(loaded_tiny(), tmp_path, FitSettings(kind=LensKind.LOGIT))


def test_rows_on_disk_are_those_at_even_distances(tmp_path: Path) -> None:
    loaded = loaded_tiny()
    sequences = texts_of(loaded).sequences[:10]
    rows = read_rows(loaded.model, sequences)
    weight_N = torch.arange(240) / 240
    with RowsOnDisk(
        tmp_path / "rows", num_states=7, width=32, num_rows=240, most_rows=50
    ) as on_disk:
        first = 0
        for number in (3, 1, 6):
            part = read_rows(loaded.model, sequences[first : first + number])
            size = 24 * number
            on_disk.add(24 * first, part, weight_N[24 * first :][:size])
            first += number
        assert on_disk.num_rows == 48
        states_SND, next_N, kept_N = on_disk.read(range(48))
        picked_SND, picked_N, _ = on_disk.read([7, 3])
    assert torch.allclose(states_SND, rows.states_SND[:, ::5], atol=1e-4)
    assert torch.equal(next_N, rows.next_N[::5])
    assert int((next_N == NO_TOKEN).sum()) == 2
    assert torch.equal(kept_N, weight_N[::5])
    assert torch.equal(picked_SND, states_SND[:, [7, 3]])
    assert torch.equal(picked_N, next_N[[7, 3]])
