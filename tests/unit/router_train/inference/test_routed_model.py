from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, tiny_loaded
from transformers import GenerationConfig, TextIteratorStreamer

from router_train.config import FitConfig
from router_train.data.labels import LabelSet, PathLabel
from router_train.inference.routed_model import RoutedModel, pad_left, routed_paths
from router_train.routers.base import FitInputs, RoutedPath
from router_train.routers.drllm.network import LayerRouters
from router_train.routers.drllm.router import DrLLMKind, DrLLMRouter
from router_train.routers.fixed import FixedRouter
from router_train.routers.registry import get_kind
from search_cluster.errors import ConfigError, NonFiniteLogitsError, PromptTooLongError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.prompting import encode_example, encode_prompt_text
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath

PATHS = (
    (1, 0, 1, 2, 1, 1),
    (1, 1, 2, 1, 0, 0),
    (2, 1, 1, 1, 1, 1),
    (0, 1, 0, 1, 2, 1),
    (1, 1, 1, 1, 1, 1),
)
LABELS = tuple(PathLabel(example=fruit_example(n), decisions=PATHS[n]) for n in range(len(PATHS)))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


@pytest.fixture(scope="module")
def overfitted(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> DrLLMRouter:
    """A router that knows five questions by heart."""
    labels = LabelSet(
        train=LABELS,
        validation=LABELS,
        num_layers=6,
        num_unsolved=0,
        num_unchanged=0,
        num_inexpressible=0,
        num_test=0,
    )
    config = FitConfig(epochs=150, patience=150, learning_rate=1e-2, effective_beta=0.0)
    curve_file = tmp_path_factory.mktemp("curve") / "curve.jsonl"
    inputs = FitInputs(
        labels=labels, config=config, loaded=loaded, task=fruit_task(), curve_file=curve_file
    )
    fitted = DrLLMKind().fit(inputs)
    assert fitted.metrics["validation_path_accuracy"] == 1.0
    assert isinstance(fitted.router, DrLLMRouter)
    assert len(curve_file.read_text().splitlines()) == 150
    return fitted.router


def constant_router(biases: Sequence[float], num_windows: int = 8) -> DrLLMRouter:
    """Every layer's logits are these, whatever the prompt is."""
    routers = LayerRouters(6, 32, 4)
    with torch.no_grad():
        for parameter in routers.parameters():
            parameter.zero_()
        for layer in routers.layers:
            layer.outer.bias.copy_(torch.tensor(biases))  # type: ignore[union-attr, operator]
    return DrLLMRouter(routers.requires_grad_(False), num_windows)


def test_inference_takes_the_path_that_teacher_forcing_taught(
    loaded: LoadedModel, overfitted: DrLLMRouter
) -> None:
    model = RoutedModel(loaded, overfitted)
    for label in LABELS:
        routed = model.route_example(fruit_task(), label.example)
        assert routed.path == label.path
        assert routed.num_fallbacks == 0
        assert routed.num_layer_tokens == 0, "it chose while the prompt ran along its path"


def test_evaluation_is_the_verdict_of_the_routed_path(
    loaded: LoadedModel, overfitted: DrLLMRouter
) -> None:
    routed, verdict = RoutedModel(loaded, overfitted).evaluate(fruit_task(), LABELS[0].example)
    assert routed.path == LABELS[0].path
    assert verdict == evaluate_path(loaded, fruit_task(), LABELS[0].example, LABELS[0].path)


def test_generation_equals_the_materialised_path(loaded: LoadedModel) -> None:
    path = LayerPath.from_decisions((1, 0, 2, 1, 2, 1))
    answer = RoutedModel(loaded, FixedRouter(path)).answer(["the capital of"], max_new_tokens=12)[0]
    context_ids = encode_prompt_text(loaded, "the capital of")
    inputs = torch.tensor([context_ids])
    expected = materialise(loaded.model, path).generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=12, do_sample=False
    )
    assert list(answer.token_ids) == expected[0, len(context_ids) :].tolist()
    assert answer.text == loaded.tokenizer.decode(list(answer.token_ids), skip_special_tokens=True)
    plain = RoutedModel(loaded, FixedRouter(LayerPath.identity(6))).answer(
        ["the capital of"], max_new_tokens=12
    )[0]
    assert plain.token_ids != answer.token_ids


def test_skipped_layers_do_not_run_and_repeated_ones_run_twice() -> None:
    loaded = tiny_loaded()
    path = LayerPath.from_decisions((1, 0, 2, 1, 0, 1))
    calls = [0] * 6
    for index, layer in enumerate(loaded.model.model.layers):

        def count(*_: object, index: int = index) -> None:
            calls[index] += 1

        layer.register_forward_hook(count)
    answer = RoutedModel(loaded, FixedRouter(path)).answer(["number"], max_new_tokens=7)[0]
    num_passes = len(answer.token_ids)  # the prompt's pass gives the first token
    assert calls == [num_passes * uses for uses in path.counts()]


def test_one_pass_over_the_prompt_chooses_and_answers(overfitted: DrLLMRouter) -> None:
    loaded = tiny_loaded()
    prompts = [encode_example(loaded, fruit_task(), label.example).context_ids for label in LABELS]
    ids, mask = pad_left([*prompts, prompts[0]], 0, loaded.model.device)
    calls = [0] * 6
    for index, layer in enumerate(loaded.model.model.layers):

        def count(*_: object, index: int = index) -> None:
            calls[index] += 1

        layer.register_forward_hook(count)
    cache = OnlineCache()
    RoutedModel(loaded, overfitted).generate(
        ids, attention_mask=mask, past_key_values=cache, max_new_tokens=1
    )
    expected = [(label.path, 0) for label in (*LABELS, LABELS[0])]
    assert [(routed.path, routed.num_layer_tokens) for routed in routed_paths(cache)] == expected
    assert calls == [max(uses) for uses in zip(*PATHS, strict=True)]


def test_answers_can_be_sampled_and_streamed(loaded: LoadedModel) -> None:
    model = RoutedModel(loaded, FixedRouter(LayerPath.from_decisions((1, 0, 2, 1, 2, 1))))

    def sampled(seed: int) -> tuple[int, ...]:
        torch.manual_seed(seed)
        return model.answer(["the city"], max_new_tokens=8, do_sample=True, temperature=2.0)[
            0
        ].token_ids

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    streamer = TextIteratorStreamer(
        loaded.tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=20
    )
    answer = model.answer(["the city"], max_new_tokens=8, streamer=streamer)[0]
    assert "".join(streamer) == answer.text
    assert model.answer([], max_new_tokens=8) == ()


def test_answers_depend_on_weights_and_prompt_alone(loaded: LoadedModel) -> None:
    router = FixedRouter(LayerPath.from_decisions((1, 0, 2, 1, 2, 1)))
    penalised = tiny_loaded()
    penalised.model.generation_config = GenerationConfig(
        repetition_penalty=50.0, eos_token_id=[1], pad_token_id=0
    )
    answers = [
        RoutedModel(model, router).answer(["a"], max_new_tokens=12)[0]
        for model in (loaded, penalised)
    ]
    assert answers[0].token_ids == answers[1].token_ids
    assert len(set(answers[0].token_ids)) < len(answers[0].token_ids)  # a penalty would show
    inputs = torch.tensor([encode_prompt_text(penalised, "a")])
    own = RoutedModel(penalised, router).generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=12
    )
    assert own[0, inputs.shape[1] :].tolist() != list(answers[0].token_ids)


@dataclass(frozen=True)
class LengthRouter:
    """Short prompts skip layer 2, long ones repeat it."""

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        decisions = (1, 1, 0 if len(context_ids) < 10 else 2, 1, 1, 1)
        path = LayerPath.from_decisions(decisions)
        return RoutedPath(path=path, confidence=1.0, num_fallbacks=0, num_layer_tokens=0)

    def settings(self) -> dict[str, int | str]:
        return {}

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


def test_prompts_of_a_batch_do_not_share_a_path(loaded: LoadedModel) -> None:
    model = RoutedModel(loaded, LengthRouter())
    prompts = ["the city", "what is the capital of the number 12345?", "the answer"]
    together = model.answer(prompts, max_new_tokens=5)
    assert [len(answer.routed.path) for answer in together] == [5, 7, 5]
    alone = tuple(
        answer
        for prompt in reversed(prompts)
        for answer in model.answer([prompt], max_new_tokens=5)
    )
    assert together == tuple(reversed(alone))


def test_below_the_threshold_layers_run_once(loaded: LoadedModel) -> None:
    router = constant_router((1.0, 0.0, 0.0))  # skip with probability e / (e + 2) = 0.576
    context_ids = encode_prompt_text(loaded, "the capital")
    careful = RoutedModel(loaded, router, threshold=0.6).route(context_ids)
    assert (careful.path.is_identity, careful.num_fallbacks) == (True, 6)
    assert careful.confidence == pytest.approx(0.576, abs=1e-3)
    repeats = RoutedModel(loaded, constant_router((0.0, 0.0, 1.0)), threshold=0.5).route(
        context_ids
    )
    assert repeats.path.decisions() == (2,) * 6
    assert repeats.num_fallbacks == 0


def test_a_path_is_never_empty(loaded: LoadedModel) -> None:
    routed = RoutedModel(loaded, constant_router((1.0, 0.0, 0.0))).route(
        encode_prompt_text(loaded, "the")
    )
    assert routed.path.is_identity
    assert (routed.num_fallbacks, routed.num_layer_tokens) == (6, 0)


def test_routers_that_give_nan_are_named(loaded: LoadedModel) -> None:
    with pytest.raises(NonFiniteLogitsError, match="the router of layer 0 gives"):
        RoutedModel(loaded, constant_router((float("nan"), 0.0, 0.0))).route([5, 6])


def test_thresholds_and_lengths_are_checked(loaded: LoadedModel) -> None:
    with pytest.raises(ConfigError, match=r"threshold is 1\.5; a probability lies in \[0, 1\]"):
        RoutedModel(loaded, LengthRouter(), threshold=1.5)
    with pytest.raises(PromptTooLongError):
        RoutedModel(loaded, LengthRouter()).answer(["word " * 3000], max_new_tokens=1)


def test_fixed_routers(tmp_path: Path) -> None:
    labels = LabelSet(
        train=(LABELS[0], replace(LABELS[1], decisions=PATHS[0]), LABELS[2]),
        validation=(LABELS[3],),
        num_layers=6,
        num_unsolved=0,
        num_unchanged=0,
        num_inexpressible=0,
        num_test=0,
    )
    inputs = FitInputs(
        labels=labels, config=FitConfig(), loaded=None, task=fruit_task(), curve_file=tmp_path / "c"
    )
    static = get_kind("static").fit(inputs)
    assert static.router == FixedRouter(LayerPath.from_decisions(PATHS[0]))
    assert static.metrics == {
        "train_path_accuracy": pytest.approx(2 / 3),
        "validation_path_accuracy": 0.0,
    }
    identity = get_kind("identity").fit(inputs).router
    assert identity == FixedRouter(LayerPath.identity(6))
    assert get_kind("static").restore(static.router.settings(), {}) == static.router
    with pytest.raises(
        ConfigError, match=r"router 'drlm' is unknown; routers are .*; did you mean drllm\?"
    ):
        get_kind("drlm")
