import json
from pathlib import Path

import pytest
import torch

from router_train.config import FitConfig
from router_train.data.features import Features
from router_train.routers.curve import CurveWriter
from router_train.routers.drllm.losses import effective_number_weights, focal_loss
from router_train.routers.drllm.training import EpochMetrics, TrainResult, train_routers
from search_cluster.errors import ConfigError

NUM_LAYERS, NUM_WINDOWS, WIDTH = 4, 3, 12


def planted(num_examples: int, seed: int, offset: float = 0.0) -> Features:
    """Prompts whose first entry, among noise, tells each layer's decision.

    The last entry is huge and says nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    decisions = torch.randint(0, 3, (num_examples, NUM_LAYERS), generator=generator)
    decisions[:, 0] = 1
    windows = torch.randn(num_examples, NUM_LAYERS, NUM_WINDOWS, WIDTH, generator=generator)
    windows[..., 0] = 3.0 * (decisions.unsqueeze(-1) - 1) + 0.3 * windows[..., 0]
    windows[..., -1] = 3000 + windows[..., -1]
    return Features(windows_NLWD=windows + offset, decisions_NL=decisions)


def train(config: FitConfig, epochs: list[EpochMetrics] | None = None) -> TrainResult:
    teach, held_out = planted(400, seed=1), planted(150, seed=2)
    counts = torch.bincount(teach.decisions_NL.flatten(), minlength=3).tolist()
    return train_routers(
        teach,
        held_out,
        class_counts=counts,
        config=config,
        device=torch.device("cpu"),
        on_epoch=(epochs if epochs is not None else []).append,
    )


def test_a_planted_rule_is_learned() -> None:
    best = train(FitConfig(epochs=25, bottleneck=32)).best
    assert best.validation_accuracy > 0.95
    assert best.validation_changed_recall > 0.9
    assert best.validation_always_execute < 0.8


def test_without_standardising_a_huge_entry_stalls_training() -> None:
    assert (
        train(FitConfig(epochs=25, bottleneck=32, standardise=False)).best.validation_accuracy < 0.9
    )


def test_a_seed_gives_the_same_weights_and_leaves_global_randomness_alone() -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    first = train(FitConfig(epochs=2, seed=3)).routers.state_dict()
    assert bool((torch.random.get_rng_state() == before).all())
    again = train(FitConfig(epochs=2, seed=3)).routers.state_dict()
    other = train(FitConfig(epochs=2, seed=4)).routers.state_dict()
    assert all(bool((first[name] == again[name]).all()) for name in first)
    assert any(bool((first[name] != other[name]).any()) for name in first)


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    epochs: list[EpochMetrics] = []
    teach = planted(40, seed=1)
    # These labels have nothing to do with the states: fitting the training set makes them worse.
    noise = Features(
        windows_NLWD=planted(40, seed=5).windows_NLWD, decisions_NL=planted(40, seed=6).decisions_NL
    )
    result = train_routers(
        teach,
        noise,
        class_counts=(1, 1, 1),
        config=FitConfig(epochs=60, patience=3, learning_rate=1e-2),
        device=torch.device("cpu"),
        on_epoch=epochs.append,
    )
    assert len(epochs) < 60
    assert result.best == min(epochs, key=lambda epoch: epoch.validation_loss)
    assert epochs[-1].epoch == result.best.epoch + 3
    weights = effective_number_weights((1, 1, 1), FitConfig().effective_beta)
    loss = focal_loss(
        result.routers(noise.windows_NLWD), noise.decisions_NL, weights, FitConfig().focal_gamma
    )
    assert float(loss) == pytest.approx(result.best.validation_loss)


def test_a_loss_that_is_not_finite_is_said() -> None:
    with pytest.raises(ConfigError, match=r"loss of epoch 1 .* lower the learning rate"):
        train_routers(
            planted(20, seed=1, offset=float("nan")),
            planted(20, seed=2),
            class_counts=(1, 1, 1),
            config=FitConfig(),
            device=torch.device("cpu"),
            on_epoch=lambda _: None,
        )


def test_the_curve_is_jsonl(tmp_path: Path) -> None:
    with CurveWriter(tmp_path / "run" / "curve.jsonl") as curve:
        curve.write({"epoch": 1, "train_loss": 0.5})
        curve.write({"epoch": 2, "train_loss": 0.25})
    lines = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "train_loss": 0.5},
        {"epoch": 2, "train_loss": 0.25},
    ]
