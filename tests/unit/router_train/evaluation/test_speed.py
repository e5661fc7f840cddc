from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.router_corpus import tiny_loaded

from router_train.commands.bench import _speed_text, router_folders
from router_train.evaluation.speed import RoundTimes, measure_speed, summarise
from router_train.inference.routed_model import RoutedModel
from router_train.routers.base import RoutedPath
from router_train.routers.fixed import FixedRouter
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

ROUND = RoundTimes(
    plain_s=10.0, routed_s=8.0, layer_time_share=0.8, layer_share=0.5, layer_call_share=0.6
)


def test_what_saved_layers_allow_by_hand() -> None:
    assert ROUND.speed_up == 1.25
    speed = summarise(
        [ROUND, replace(ROUND, routed_s=5.0), replace(ROUND, plain_s=100.0)],
        batch_size=4,
        new_tokens=5,
    )
    assert speed.plain_tokens_per_s == 2.0
    assert speed.routed_tokens_per_s == 2.5
    assert speed.speed_up == 1.25
    assert (speed.speed_up_min, speed.speed_up_max) == (1.25, 12.5)
    assert (speed.plain_tokens_per_s_min, speed.plain_tokens_per_s_max) == (0.2, 2.0)
    assert (speed.routed_tokens_per_s_min, speed.routed_tokens_per_s_max) == (2.5, 4.0)
    # of 10 s, 8 s are layers, of which half are saved: 6 s are left
    assert speed.allowed_speed_up == pytest.approx(10 / 6)
    assert speed.share_of_allowed == pytest.approx(0.25 / (10 / 6 - 1))
    assert speed.speed_up_over_allowed == pytest.approx(1.25 / (10 / 6))


@given(
    times=st.lists(
        st.tuples(st.floats(0.01, 100.0), st.floats(0.01, 100.0)), min_size=1, max_size=8
    )
)
def test_claims_the_factor_is_the_quotient_of_the_printed_rates(
    times: list[tuple[float, float]],
) -> None:
    rounds = [replace(ROUND, plain_s=plain, routed_s=routed) for plain, routed in times]
    speed = summarise(rounds, batch_size=2, new_tokens=8)
    assert speed.speed_up == pytest.approx(speed.routed_tokens_per_s / speed.plain_tokens_per_s)
    tiny = 1e-9
    assert speed.speed_up_min * (1 - tiny) <= speed.speed_up <= speed.speed_up_max * (1 + tiny)
    for name in ("plain", "routed"):
        low, value, high = (
            getattr(speed, f"{name}_tokens_per_s{end}") for end in ("_min", "", "_max")
        )
        assert low * (1 - tiny) <= value <= high * (1 + tiny)


@pytest.mark.parametrize(
    ("times", "text"),
    [
        # Rounds of a machine that other work slows down: the median of the quotients would be 0.943
        # beside rates of 18.9 and 14.5.
        (
            [(1.06, 1.38), (0.9, 0.9), (2.0, 2.12)],
            "18.9 (10.0 to 22.2) -> 14.5 (9.4 to 22.2) tokens/s, 0.768 times as fast "
            "(0.768 to 1.000 within rounds); 50.0%",
        ),
        (
            [(1.0, 0.5), (1.0, 1.25), (1.0, 0.8)],
            "20.0 (20.0 to 20.0) -> 25.0 (16.0 to 40.0) tokens/s, 1.250 times as fast "
            "(0.800 to 2.000 within rounds), and rounds disagree on which is faster; 50.0%",
        ),
        ([(1.0, 0.8)], "20.0 -> 25.0 tokens/s, 1.250 times as fast (one round); 50.0%"),
        ([(0.8, 1.0)], "25.0 -> 20.0 tokens/s, 0.800 times as fast (one round); 50.0%"),
    ],
)
def test_claims_rates_and_factor_of_scripted_rounds_agree(
    times: list[tuple[float, float]], text: str
) -> None:
    rounds = [replace(ROUND, plain_s=plain, routed_s=routed) for plain, routed in times]
    speed = summarise(rounds, batch_size=2, new_tokens=10)
    assert _speed_text("menu (r)", 2, speed).startswith(f"menu (r), batch 2: {text}")
    assert ("of the allowed gain" in _speed_text("r", 2, speed)) is (speed.speed_up > 1)


def test_no_share_of_a_gain_that_is_not_allowed() -> None:
    plain = replace(ROUND, layer_share=1.0)
    assert summarise([plain], batch_size=1, new_tokens=1).share_of_allowed is None
    longer = summarise([replace(ROUND, layer_share=1.5)], batch_size=1, new_tokens=1)
    assert longer.allowed_speed_up == pytest.approx(10 / 14)
    assert longer.share_of_allowed is None


@dataclass(frozen=True)
class OddSkips:
    """Prompts with an odd first token skip layers 1 and 2."""

    def route(
        self, loaded: LoadedModel, context_ids: tuple[int, ...], *, threshold: float
    ) -> RoutedPath:
        path = LayerPath.from_decisions((1, 0, 0, 1, 1, 1) if context_ids[0] % 2 else (1,) * 6)
        return RoutedPath(path=path, confidence=1.0, num_fallbacks=0, num_layer_tokens=0)

    def settings(self) -> dict[str, int | str]:
        return {}

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


def test_rows_that_part_share_fewer_calls_than_applications() -> None:
    loaded = tiny_loaded()
    prompts = [(5, 6, 7), (6, 7), (7, 8, 9, 10), (8, 9)]
    routed = RoutedModel(loaded, OddSkips())  # type: ignore[arg-type]
    passes = [0]
    loaded.model.lm_head.register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    speed = measure_speed(loaded, routed, prompts, batch_size=4, new_tokens=3, num_rounds=2)
    assert speed.layer_share == pytest.approx((2 * 6 + 2 * 4) / (4 * 6))
    assert speed.layer_call_share == 1.0
    assert 0 < speed.layer_time_share < 1
    assert speed.num_rounds == 2
    assert (
        passes[0] == 3 * 2 + 2 * 3 * 3
    )  # a short round to warm up, then plain, routed and clocked
    assert not loaded.model.model.layers[0]._forward_pre_hooks


def test_mistakes() -> None:
    loaded = tiny_loaded()
    routed = RoutedModel(loaded, FixedRouter(LayerPath.identity(6)))
    for numbers, message in (
        ({"batch_size": 3}, "2 prompts do not fill a batch of 3"),
        ({"batch_size": 0}, "batch size is 0; it must be at least 1"),
        ({"num_rounds": 0}, "rounds is 0"),
        ({"new_tokens": -1}, "new tokens is -1"),
    ):
        options = {"batch_size": 1, "new_tokens": 1, "num_rounds": 1, **numbers}
        with pytest.raises(ConfigError, match=message):
            measure_speed(loaded, routed, [(5,), (6,)], **options)


def test_routers_of_a_run_are_found(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "routers" / name).mkdir(parents=True)
        (tmp_path / "routers" / name / "router.json").touch()
    (tmp_path / "routers" / "unfinished").mkdir()
    assert router_folders(tmp_path) == (tmp_path / "routers" / "a", tmp_path / "routers" / "b")
    assert router_folders(tmp_path / "routers" / "a") == (tmp_path / "routers" / "a",)
    with pytest.raises(ConfigError, match="train a router first"):
        router_folders(tmp_path / "routers")
