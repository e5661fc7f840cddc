"""What is timed: whose layers, for how many rows and tokens, in which order."""

from dataclasses import dataclass, field

import pytest
import torch
from support import tiny
from transformers import PreTrainedModel

from search_cluster.errors import ConfigError, InvalidPathError
from search_cluster.model.path_times import PathTime, measure_path_times
from search_cluster.paths.layer_path import LayerPath

SHORT = LayerPath((0, 1, 4, 5), tiny.NUM_LAYERS)
LONG = LayerPath((0, 1, 2, 2, 2, 3, 4, 5), tiny.NUM_LAYERS)
LAYER_S = 1.0
"""What a call of a layer takes on the counting clock."""


@dataclass
class CountingClock:
    """A clock on which only calls of layers take time."""

    now_s: float = 0.0
    shapes: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def watch(self, model: PreTrainedModel) -> None:
        for layer in model.model.layers:
            layer.register_forward_pre_hook(self._count)

    def _count(self, _: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        self.now_s += LAYER_S
        self.shapes.append(tuple(arguments[0].shape[:2]))


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


def test_each_path_is_charged_for_its_own_layers_and_tokens(clock: CountingClock) -> None:
    model = tiny.tiny_model()
    clock.watch(model)
    found = measure_path_times(
        model, [SHORT, LONG], (1, 3), prompt_tokens=7, new_tokens=4, num_rounds=2, clock=clock
    )
    plain_s = 4 * tiny.NUM_LAYERS * LAYER_S
    assert found == tuple(
        PathTime(path=path, batch=batch, seconds=4 * len(path) * LAYER_S, plain_seconds=plain_s)
        for path in (SHORT, LONG)
        for batch in (1, 3)
    )
    read = [shape for shape in clock.shapes if shape[1] != 1]
    calls = tiny.NUM_LAYERS + len(SHORT) + len(LONG)
    assert read == [(1, 7)] * 3 * calls + [(3, 7)] * 3 * calls
    written = [shape for shape in clock.shapes if shape[1] == 1]
    assert len(written) == 3 * len(read), "each of 4 tokens but the first is a call of one token"


def slow_rounds(model: PreTrainedModel, rounds: list[tuple[float, float]], num_rounds: int):
    """The times of a path, on a clock that follows each run of the first and the second runner."""
    ticks = [0.0]
    for took in (second for pair in rounds for second in pair):
        ticks.append(ticks[-1] + took)

    class Clock(CountingClock):
        def __call__(self) -> float:
            return ticks[len(self.shapes) // tiny.NUM_LAYERS]

    clock = Clock()
    clock.watch(model)
    path = LayerPath((0, 1, 2, 3, 4, 4), tiny.NUM_LAYERS)  # as many calls as the plain model
    (found,) = measure_path_times(
        model, [path], [1], prompt_tokens=3, new_tokens=1, num_rounds=num_rounds, clock=clock
    )
    return found, len(clock.shapes) // tiny.NUM_LAYERS // 2


def test_the_first_round_does_not_count_and_one_slow_round_does_not_either() -> None:
    # The rounds that count begin with the path, the plain model, and the path.
    rounds = [(9.0, 9.0), (1.0, 3.0), (50.0, 2.0), (1.0, 4.0)]
    found, num_rounds = slow_rounds(tiny.tiny_model(), rounds, 3)
    assert (found.seconds, found.plain_seconds) == (1.0, 4.0)
    assert num_rounds == 4


@pytest.mark.parametrize(("took_s", "num_rounds"), [(0.5, 6), (3.0, 5), (20.0, 4)])
def test_a_slow_machine_makes_fewer_rounds_but_three(took_s: float, num_rounds: int) -> None:
    found, made = slow_rounds(tiny.tiny_model(), [(took_s, took_s)] * 9, 5)
    assert made == num_rounds
    assert found.seconds == found.plain_seconds == took_s


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_reads_and_writes(family: str, clock: CountingClock) -> None:
    model = tiny.tiny_model(family)
    clock.watch(model)
    times = measure_path_times(
        model, [LONG], [2], prompt_tokens=9, new_tokens=3, num_rounds=1, clock=clock
    )
    assert times[0].seconds == 3 * len(LONG)
    assert times[0].plain_seconds == 3 * tiny.NUM_LAYERS


def test_what_can_not_be_timed_is_refused() -> None:
    model = tiny.tiny_model()
    with pytest.raises(ConfigError, match="0 of something to time; batches, tokens and rounds"):
        measure_path_times(model, [SHORT], [0])
    with pytest.raises(ConfigError, match="a prompt with its answer has 2049 tokens"):
        measure_path_times(model, [SHORT], [1], prompt_tokens=tiny.MAX_POSITIONS, new_tokens=1)
    with pytest.raises(InvalidPathError, match="for a model of 9 layers; this model has 6"):
        measure_path_times(model, [LayerPath.identity(9)], [1])
