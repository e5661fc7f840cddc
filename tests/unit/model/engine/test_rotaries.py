"""Rotary embeddings that a longer prompt may change are computed once, up to where none does."""

from collections.abc import Callable

import pytest
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny
from torch import Tensor, nn
from transformers import PreTrainedModel

from search_cluster.model.anatomy import stable_length
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 6


def dynamic_model() -> PreTrainedModel:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    return tiny.tiny_model("llama", rope_parameters=rope)


@pytest.mark.parametrize("make", [dynamic_model, lambda: tiny.longrope_model(stable_tokens=200)])
def test_rotary_embeddings_that_may_change_are_tabled_up_to_where_they_do(
    make: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, lengths = make(), list[int]()
    loaded = loaded_tiny(model)
    expected = evaluate_path(loaded, ChoiceTask(), CAPITAL, LayerPath.identity(NUM_LAYERS))
    plain = type(model.model.rotary_emb).forward

    def noting(self: nn.Module, hidden: Tensor, positions: Tensor, *rest: object) -> object:
        lengths.append(int(positions.max()) + 1)
        return plain(self, hidden, positions, *rest)

    monkeypatch.setattr(type(model.model.rotary_emb), "forward", noting)
    executor = PathExecutor(loaded, ChoiceTask())
    lengths.clear()
    paths = [LayerPath.identity(NUM_LAYERS), LayerPath((0, 2, 3, 4, 5), NUM_LAYERS)]
    outcomes = executor.evaluate([(CAPITAL, path) for path in paths])
    verdict = outcomes[0]
    assert isinstance(verdict, Verdict)
    assert verdict.margin == pytest.approx(expected.margin, abs=1e-5)
    stable = stable_length(model.config)
    assert stable is not None
    assert len(lengths) == 1, "once for all layers and calls"
    assert lengths[0] <= stable
