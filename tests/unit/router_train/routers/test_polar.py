import itertools
import math
from pathlib import Path

import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.data.prompt_states import prompt_states
from router_train.routers.checkpoint import load_router
from router_train.routers.curve import CurveWriter
from router_train.routers.polar.router import PolarRouter, decode_segments
from router_train.routers.polar.training import SegmentData, train_polar
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

IDS = [5, 9, 12, 30, 7]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def log_probability(
    starts: torch.Tensor, shares: torch.Tensor, operations: tuple[int, ...]
) -> float:
    """The probability by the definition: start or not, then which of the other two operations."""
    total, last = 0.0, 1
    for place, operation in enumerate(operations):
        start = float(starts[place])
        others = 1.0 - float(shares[place, last])
        total += math.log(
            1 - start if operation == last else start * float(shares[place, operation]) / others
        )
        last = operation
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_beam_finds_the_likeliest_segments(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    start_logits = torch.randn(6, generator=generator)
    operation_logits = 2 * torch.randn(6, 3, generator=generator)
    starts, shares = start_logits.sigmoid(), operation_logits.softmax(dim=-1)
    everything = {
        ops: log_probability(starts, shares, ops) for ops in itertools.product(range(3), repeat=6)
    }
    assert sum(map(math.exp, everything.values())) == pytest.approx(1.0, abs=1e-4)
    best = max(everything, key=everything.__getitem__)
    decoded = decode_segments(start_logits, operation_logits, 3)
    assert decoded.operations == best
    assert decoded.least_sure**6 <= math.exp(everything[best]) <= decoded.least_sure
    greedy = decode_segments(start_logits, operation_logits, 1).operations
    assert everything[greedy] <= everything[best]


def planted(num_examples: int, seed: int) -> SegmentData:
    """One token of a prompt says whether the middle layers are skipped, run once or run twice."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 3, (num_examples,), generator=generator)
    tokens = []
    for kind in kinds.tolist():
        states = torch.randn(
            int(torch.randint(3, 9, (1,), generator=generator)), 16, generator=generator
        )
        states[torch.randint(0, len(states), (1,), generator=generator), kind] += 8
        tokens.append(states)
    operations = torch.ones(num_examples, 5, dtype=torch.int64)
    operations[:, 1:3] = kinds[:, None]
    return SegmentData(tokens=tuple(tokens), operations_NM=operations)


def test_starts_are_where_operations_change() -> None:
    data = SegmentData(tokens=(), operations_NM=torch.tensor([[1, 0, 0, 2], [0, 0, 1, 1]]))
    assert data.starts().tolist() == [[False, True, False, True], [True, False, True, False]]


def test_a_planted_rule_is_learned_whatever_the_padding(tmp_path: Path) -> None:
    config = FitConfig(epochs=30, learning_rate=3e-3, bottleneck=32)
    with CurveWriter(tmp_path / "curve.jsonl") as curve:
        network, best = train_polar(
            planted(400, 1), planted(100, 2), config, curve, torch.device("cpu")
        )
        again, _ = train_polar(planted(400, 1), planted(100, 2), config, curve, torch.device("cpu"))
    assert all(
        torch.equal(tensor, again.state_dict()[name])
        for name, tensor in network.state_dict().items()
    )
    assert best.validation_operation_accuracy > 0.9
    router = PolarRouter(network, 6, 1, 5)
    new = planted(100, 3)
    hits = 0
    for tokens, operations in zip(new.tokens, new.operations_NM.tolist(), strict=True):
        path = router.choose(tokens, threshold=0.0).path
        hits += path == LayerPath.from_decisions((1, *operations))
    assert hits > 85


def test_a_saved_polar_router_chooses_as_before(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    decisions = ((1, 1, 1, 0, 0, 1), (1, 1, 2, 2, 1, 1), (1, 1, 1, 1, 0, 1))
    records = [record(fruit_example(n), decisions[n % 3]) for n in range(18)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    config = FitConfig(router="polar", epochs=3, bottleneck=10, max_drop=100)
    out = tmp_path / "routers" / "polar"
    meta = fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False).meta
    router, _ = load_router(out, loaded)
    assert isinstance(router, PolarRouter)
    assert (router.num_layers_read, router.network.project.out_features) == (1, 12)
    again = fit(
        corpus,
        tmp_path / "routers" / "again",
        config,
        lambda *_: loaded,
        task_spec=None,
        force=False,
    )
    assert again.meta.weights_sha256 == meta.weights_sha256
    assert again.meta.metrics == meta.metrics
    routed = router.route(loaded, IDS, threshold=0.0)
    assert routed.path.layers[0] == 0
    assert routed.num_layer_tokens == 0
    assert router.route(loaded, IDS, threshold=1.0).path.is_identity
    routing = router.begin_routing(loaded, IDS, threshold=0.0)
    assert next(routing) == (0,)
    with pytest.raises(StopIteration) as end:
        routing.send(prompt_states(loaded, IDS, 1))
    assert end.value.value.path == routed.path
    with pytest.raises(
        ConfigError, match="feature_layer is 6; a path of 6 layers leaves none to decide"
    ):
        fit(
            corpus, tmp_path / "deep", FitConfig(router="polar", feature_layer=6),
            lambda *_: loaded, task_spec=None, force=False,
        )  # fmt: skip
    text = (out / "router.json").read_text()
    (out / "router.json").write_text(text.replace('"hidden": 12', '"hidden": 16'))
    with pytest.raises(ConfigError, match="the router's weights do not fit its settings"):
        load_router(out, loaded)
