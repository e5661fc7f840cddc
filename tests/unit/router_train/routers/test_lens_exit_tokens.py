"""A lens exit whose generated tokens stop by themselves: training, answers, evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.router_corpus import (
    fruit_example,
    fruit_task,
    generated_fruit_task,
    record,
    tiny_loaded,
    write_corpus,
)
from support.token_exit_router import DEPTHS, NUM_LAYERS, PLAIN, router_of

from router_train.config import FitConfig
from router_train.evaluation.evaluate import evaluate
from router_train.evaluation.predictions import PredictionLog
from router_train.evaluation.speed import measure_speed
from router_train.inference.routed_model import RoutedModel, routed_paths
from router_train.routers.checkpoint import load_router
from router_train.routers.lens_exit.choosing import choose_exits
from router_train.routers.lens_exit.classifier import (
    TOKENS,
    VOCABULARY,
)
from router_train.routers.lens_exit.evidence import ExitCosts, ExitEvidence, Stopped
from router_train.routers.lens_exit.readings import read_cost
from router_train.routers.lens_exit.router import LensExitRouter
from router_train.routers.lens_exit.token_observing import TokenObserver, token_evidence
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.model.bridge.bridges import share_of_layer
from search_cluster.model.decoding import decode_greedily
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.online.lazy_cache import LazyCache
from search_cluster.model.prompting import encode_example, encode_prompt_text
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath

PROMPT = "what is the capital city"
GENERATED = generated_fruit_task(max_new_tokens=5)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def test_tokens_that_stop_nowhere_are_the_plain_models(loaded: LoadedModel) -> None:
    answer = RoutedModel(loaded, router_of(-9.0)).answer([PROMPT], max_new_tokens=6)[0]
    context_ids = encode_prompt_text(loaded, PROMPT)
    plain = decode_greedily(loaded.model, loaded.tokenizer, context_ids, max_new_tokens=6)
    assert answer.token_ids == plain
    assert answer.routed.path == PLAIN
    assert answer.routed.num_fallbacks == NUM_LAYERS
    assert answer.work is not None
    assert answer.work.depths == (NUM_LAYERS,) * len(plain)
    assert answer.work.num_layer_tokens == NUM_LAYERS * (len(context_ids) + len(plain) - 1)
    in_vain = 3 * read_cost(loaded.model, loaded.model.config.vocab_size)
    assert answer.routed.num_read_layer_tokens == pytest.approx(in_vain * len(plain))
    unread = RoutedModel(loaded, router_of(9.0), threshold=1.0).answer([PROMPT], max_new_tokens=6)
    assert unread[0].token_ids == plain
    assert unread[0].routed.num_read_layer_tokens == 0.0


def test_tokens_that_stop_are_read_through_their_translators(loaded: LoadedModel) -> None:
    router = router_of(-0.9, top=9.0)  # sure from a probability of 0.1 on
    model, cache = RoutedModel(loaded, router), LazyCache()
    context = torch.tensor([encode_prompt_text(loaded, PROMPT)])
    done = model.generate(
        context,
        attention_mask=torch.ones_like(context),
        past_key_values=cache,
        max_new_tokens=8,
        min_new_tokens=8,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    depths = [stopped.depth for stopped in cache.exits[0]]
    assert len(set(depths)) > 1  # some stop, and not all at once
    walked = LayerwisePass(loaded.model, done.sequences)
    first = context.shape[1] - 1
    with torch.inference_mode():
        states = [walked.hidden_BTD]
        for layer in range(NUM_LAYERS):
            walked.step(layer)
            states.append(walked.hidden_BTD)
        for number, depth in enumerate(depths):
            read = None
            for place, at in enumerate((*DEPTHS, NUM_LAYERS)):
                hidden = states[at][0, first + number]
                if at < NUM_LAYERS:
                    hidden = router.lens.translate(hidden[None], place)[0]
                read = loaded.model.lm_head(loaded.model.model.norm(hidden))
                if at == depth:
                    break
                assert float(read.softmax(dim=-1).max()) < 0.1
            assert torch.allclose(done.logits[number][0], read, atol=1e-4)
    (routed,) = routed_paths(cache)
    assert len(routed.path) == max(depths)
    share, cost = share_of_layer(loaded.model), read_cost(loaded.model, 301)
    expected = sum(
        3 * cost if depth == NUM_LAYERS else DEPTHS.index(depth) * cost + share for depth in depths
    )
    assert routed.num_read_layer_tokens == pytest.approx(expected)


def test_what_is_observed_is_what_tokens_read(loaded: LoadedModel) -> None:
    router = router_of(9.0)
    observer = TokenObserver(
        loaded=loaded, task=GENERATED, path=PLAIN, depths=DEPTHS, lens=router.lens, label="final"
    )
    examples = [fruit_example(number) for number in range(3)]
    found = observer.observe(examples)
    evidence = token_evidence(found, np.arange(3, dtype=np.uint64))
    assert evidence.plain_N.all()
    assert evidence.texts_N is not None
    row = 0
    for text, example in enumerate(examples):
        context_ids = encode_example(loaded, GENERATED, example).context_ids
        own = decode_greedily(loaded.model, loaded.tokenizer, context_ids, max_new_tokens=5)
        ids = torch.tensor([[*context_ids, *own]])
        for number, token in enumerate(own):
            assert evidence.texts_N[row] == text
            assert evidence.num_tokens_N[row] == (1 if number else len(context_ids))
            for place, depth in enumerate(DEPTHS):
                until = len(context_ids) + number
                prefix = materialise(
                    router.model_of(loaded).model, LayerPath(tuple(range(depth)), NUM_LAYERS)
                )
                with torch.inference_mode():
                    logits = prefix(ids[:, :until]).logits[0, -1]
                best = float(logits.softmax(dim=-1).max())
                assert float(evidence.readings_NKR[row, place, 1]) == pytest.approx(best, abs=1e-5)
                assert evidence.agrees_NK[row, place] == (int(logits.argmax()) == token)
            row += 1
    assert row == len(evidence.plain_N)
    gold = replace(observer, task=fruit_task(), label="gold").observe(examples)
    for row, example in enumerate(examples):
        encoded = encode_example(loaded, fruit_task(), example)
        assert example.gold_index is not None
        assert gold["num_new_N"][row] == len(encoded.choice_ids[example.gold_index])


def tokens_of(depth_places: list[int], texts: list[int], prompt: int) -> ExitEvidence:
    """Tokens of texts that are sure from a place on, with prompts of so many tokens."""
    num = len(depth_places)
    starts = [row == 0 or texts[row] != texts[row - 1] for row in range(num)]
    top = np.arange(4) >= np.array(depth_places)[:, None]
    return ExitEvidence(
        readings_NKR=torch.tensor(
            np.stack([0 * top, top, 1 - top, 0 * top], axis=-1), dtype=torch.float32
        ),
        told_apart_N=torch.ones(num),
        right_NK=top,
        agrees_NK=top,
        plain_N=np.ones(num, dtype=np.bool_),
        num_tokens_N=np.where(starts, prompt, 1),
        groups_N=np.array(texts, dtype=np.uint64),
        texts_N=np.array(texts),
    )


def test_work_is_counted_as_a_lazy_pass_does_it() -> None:
    """As in the lazy pass' own test: what is left out runs as far as a later token goes."""
    places = [2, 0, 1, 0, 0, 0, 0, 0, 3, 0]
    evidence = tokens_of(places, [0] * 8 + [1] * 2, prompt=9)
    costs = ExitCosts(num_layers=6, depths=(2, 3, 4, 5), read=0.0, bridge=0.0)
    probability = evidence.right_NK.astype(np.float64)
    stopped = Stopped.where_sure(probability, (0, 1, 2, 3), 0.5, evidence, costs)
    work = (stopped.layers_N * evidence.num_tokens_N).tolist()
    assert work == [9 * 4, 3, 3, *[2] * 5, 9 * 5, 2]
    point = stopped.point(evidence, 0.5)
    assert point.mean_layers == pytest.approx(sum(work) / (9 + 7 + 9 + 1))
    assert (point.accuracy, point.num_questions) == (1.0, 2)
    dear = replace(costs, read=1.0, bridge=0.25)
    read = Stopped.where_sure(probability, (0, 1, 2, 3), 0.5, evidence, dear).layers_N
    extra = (read * evidence.num_tokens_N - np.array(work)).tolist()
    assert extra == pytest.approx([place + 0.25 for place in places])


def test_tokens_choose_with_whole_texts_apart() -> None:
    rng = np.random.default_rng(0)
    places = np.where(np.arange(60) % 2, 0, 2).repeat(8)  # easy texts, and hard ones
    evidence = tokens_of(places.tolist(), np.arange(60).repeat(8).tolist(), prompt=20)
    costs = ExitCosts(num_layers=6, depths=(2, 3, 4, 5), read=0.1, bridge=0.01)
    config = FitConfig(exit_label="final", max_drop=1.0, num_folds=2)
    classifier, point = choose_exits(evidence, costs, config)
    assert point.accuracy == 1.0
    assert point.mean_layers < 4
    assert classifier.places
    noise = torch.tensor(rng.random(evidence.readings_NKR.shape)).float()
    blind = replace(evidence, readings_NKR=noise, right_NK=rng.random((480, 4)) < 0.9)
    found, _ = choose_exits(replace(blind, agrees_NK=blind.right_NK), costs, config)
    assert not found.places


@pytest.mark.parametrize("task", [fruit_task(), GENERATED], ids=["choices", "generated"])
def test_a_router_by_token_is_fitted_saved_and_evaluated(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, task: object
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: task)
    examples = [fruit_example(number) for number in range(12)]
    records = [record(example, (1, 1, 1, 0, 0, 1)) for example in examples]
    corpus = write_corpus(tmp_path / "corpus", records, task=task)
    config = FitConfig(
        router="lens-exit", exit_by="token", exit_label="final", max_drop=100.0, floor_errors=0.0,
        num_folds=2,
    )  # fmt: skip
    fit(corpus, tmp_path / "out", config, lambda *_: loaded, task_spec=None, force=False)
    router, meta = load_router(tmp_path / "out", loaded)
    assert isinstance(router, LensExitRouter)
    assert router.classifiers[TOKENS].places  # the floor lets tokens stop at once
    assert not router.classifiers[VOCABULARY].places
    prefix = "validation" if task is GENERATED else TOKENS
    assert meta.metrics[f"{prefix}_mean_layers"] < NUM_LAYERS
    model = RoutedModel(loaded, router)
    assert model.stops_by_token(task) == (task is GENERATED)
    report = evaluate(loaded, model, task, examples, PredictionLog(tmp_path / "log", {"x": 1}))
    for example in examples[:3]:
        routed, verdict = model.evaluate(task, example)
        if task is GENERATED:
            ids = encode_example(loaded, task, example).context_ids
            done = model.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=5,
                do_sample=False,
            )
            text = loaded.tokenizer.decode(done[0, len(ids) :], skip_special_tokens=True)
            assert verdict.output == text
        else:
            running = router.model_of(loaded)
            assert verdict == evaluate_path(running, task, example, routed.path)
    assert report.layer_token_share < 1.0
    assert report.num_failures == 0


def test_speed_counts_what_ran(loaded: LoadedModel) -> None:
    prompts = [encode_prompt_text(loaded, PROMPT)] * 2
    speed = measure_speed(
        loaded, RoutedModel(loaded, router_of(9.0)), prompts,
        batch_size=2, new_tokens=4, num_rounds=1,
    )  # fmt: skip
    assert speed.layer_share == pytest.approx(3 / NUM_LAYERS)
    assert speed.layer_call_share == pytest.approx(2 * 3 / NUM_LAYERS)  # rows run one by one
