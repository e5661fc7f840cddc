from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.evaluation.evaluate import evaluate
from router_train.evaluation.predictions import PredictionLog
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import load_router
from router_train.routers.early_exit.router import exit_path, readings_of
from router_train.routers.lens_exit.choosing import (
    candidates_of,
    choices_by_care,
    choose_exits,
)
from router_train.routers.lens_exit.classifier import CHOICES, VOCABULARY, ExitClassifier
from router_train.routers.lens_exit.evidence import NEVER, ExitCosts, ExitEvidence, Stopped
from router_train.routers.lens_exit.exit_paths import exit_depths
from router_train.routers.lens_exit.observing import ExitObserver
from router_train.routers.lens_exit.readings import (
    FEATURES,
    features_of,
    first_tokens,
    read_cost,
    read_logits_of,
    told_apart,
)
from router_train.routers.lens_exit.router import LensExitRouter
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError, NonFiniteLogitsError
from search_cluster.model.head import float32_logits, logits_of_tokens
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.lens.folder import save_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.states import walk_states
from search_cluster.model.lens.texts import texts_of_task
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import NORMAL_BOUND, adjusted_difference

NUM_LAYERS, WIDTH = 6, 32
IDS = [5, 9, 12, 30, 7]
DEPTHS = (3, 4, 5)
PLAIN = LayerPath.identity(NUM_LAYERS)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def router_of(*, stop: int | None, scale: float = 0.05) -> LensExitRouter:
    """A router that is sure at one of its places, or at none, whatever it reads."""
    bias = torch.full((len(DEPTHS),), -5.0)
    if stop is not None:
        bias[stop] = 5.0
    classifier = ExitClassifier(
        places=(0, 1, 2), weight_F=torch.zeros(len(FEATURES)), bias_K=bias, threshold=0.5
    )
    generator = torch.Generator().manual_seed(3)
    return LensExitRouter(
        path=PLAIN,
        depths=DEPTHS,
        weight_KDD=scale * torch.randn(len(DEPTHS), WIDTH, WIDTH, generator=generator),
        bias_KD=scale * torch.randn(len(DEPTHS), WIDTH, generator=generator),
        classifiers={CHOICES: classifier, VOCABULARY: classifier},
    )


def states_of(loaded: LoadedModel, depth: int) -> torch.Tensor:
    prompt_pass = LayerwisePass(loaded.model, torch.tensor([IDS]))
    with torch.inference_mode():
        for layer in range(depth):
            prompt_pass.step(layer)
    return prompt_pass.hidden_BTD


@pytest.mark.parametrize(("stop", "num_layers_run"), [(0, 3), (2, 5), (None, 6)])
def test_the_path_ends_where_the_classifier_is_sure(
    loaded: LoadedModel, stop: int | None, num_layers_run: int
) -> None:
    routed = router_of(stop=stop).route(loaded, IDS, threshold=0.0)
    assert routed.path.layers == tuple(range(num_layers_run))
    num_reads = 3 if stop is None else stop + 1
    per_read = read_cost(loaded.model, loaded.model.config.vocab_size)
    assert routed.num_read_layer_tokens == pytest.approx(num_reads * per_read)
    assert routed.num_layer_tokens == 0  # the path begins with what was read
    assert routed.num_fallbacks == (6 if stop is None else 0)
    never = router_of(stop=stop).route(loaded, IDS, threshold=1.0)
    assert never.path.is_identity
    assert never.num_read_layer_tokens == 0.0


def test_an_exit_answers_through_its_translator(loaded: LoadedModel) -> None:
    router = router_of(stop=1)
    model = RoutedModel(loaded, router)
    with torch.inference_mode():
        hidden_BTD = router.lens.translate(states_of(loaded, 4), 1)
        expected = float32_logits(loaded.model, loaded.model.model.norm(hidden_BTD))[0, -1]
        found = model.causal_lm(torch.tensor([IDS])).logits[0, -1]
        bare = materialise(loaded.model, exit_path(4, NUM_LAYERS))(torch.tensor([IDS])).logits[
            0, -1
        ]
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, bare, atol=1e-2)


def test_every_generated_token_passes_the_translator(loaded: LoadedModel) -> None:
    router = router_of(stop=1)
    inputs = torch.tensor([IDS])
    options = {"attention_mask": torch.ones_like(inputs), "max_new_tokens": 6, "do_sample": False}
    found = RoutedModel(loaded, router).causal_lm.generate(inputs, **options)
    running = router.model_of(loaded).model
    path = exit_path(4, NUM_LAYERS)
    assert torch.equal(found, materialise(running, path).generate(inputs, **options))
    assert not torch.equal(found, materialise(loaded.model, path).generate(inputs, **options))


def test_zero_translators_are_early_exits_to_the_bit(loaded: LoadedModel) -> None:
    router = router_of(stop=0, scale=0.0)
    example = fruit_example(1)
    running = router.model_of(loaded)
    for depth in (*DEPTHS, NUM_LAYERS):
        path = exit_path(depth, NUM_LAYERS)
        found = evaluate_path(running, fruit_task(), example, path)
        assert found == evaluate_path(loaded, fruit_task(), example, path)
    rows = [
        read_logits_of(
            float32_logits(
                loaded.model,
                loaded.model.model.norm(router.lens.translate(states_of(loaded, depth)[0, -1:], k)),
            ),
            (),
        )[0]
        for k, depth in enumerate(DEPTHS)
    ]
    early = readings_of(loaded, IDS)
    for row, depth in zip(rows, DEPTHS, strict=True):
        assert row[1].item() == pytest.approx(early[depth - 1][0].item(), abs=1e-6)
        assert (row[1] - row[2]).item() == pytest.approx(early[depth - 1][1].item(), abs=1e-6)


def test_never_stopping_is_the_plain_model(loaded: LoadedModel) -> None:
    router = router_of(stop=None)
    model = RoutedModel(loaded, router)
    routed, verdict = model.evaluate(fruit_task(), fruit_example(2))
    assert routed.path.is_identity
    assert verdict == evaluate_path(loaded, fruit_task(), fruit_example(2), routed.path)
    with torch.inference_mode():
        assert torch.equal(
            model.causal_lm(torch.tensor([IDS])).logits, loaded.model(torch.tensor([IDS])).logits
        )


def test_evaluation_reads_through_the_lens_and_counts_it(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    router = router_of(stop=1)
    model = RoutedModel(loaded, router)
    examples = [fruit_example(number) for number in range(8)]
    tail = LayerPath(tuple(range(4)), NUM_LAYERS)
    log = PredictionLog(tmp_path, {"router": "x"})
    report = evaluate(loaded, model, fruit_task(), examples, log, static_path=tail)
    running = router.model_of(loaded)
    right, static_right, reading = [], [], []
    for example in examples:
        verdict = evaluate_path(running, fruit_task(), example, exit_path(4, NUM_LAYERS))
        found = log.get(example.example_id)
        assert found is not None
        assert found.routed_output == verdict.output
        right.append(verdict.is_correct)
        static_right.append(evaluate_path(loaded, fruit_task(), example, tail).is_correct)
        encoded = encode_example(loaded, fruit_task(), example)
        num_first = len(first_tokens(encoded.choice_ids))
        share = WIDTH**2 / sum(
            weight.numel()
            for weight in loaded.model.model.layers[0].parameters()
            if weight.dim() > 1
        )
        reads = 2 * share * (1 + num_first / WIDTH)
        reading.append(share + reads / encoded.num_tokens)
    assert report.comparison.accuracy_routed == np.mean(right)
    assert report.static is not None
    assert report.static.accuracy == np.mean(static_right)  # beside it: the path without the lens
    assert report.layers_reading == pytest.approx(np.mean(reading))
    assert report.layers_routed == pytest.approx(4 + np.mean(reading))
    assert report.layers_saved_share == pytest.approx(1 - (4 + np.mean(reading)) / 6)


def test_only_the_tokens_in_question_are_read(loaded: LoadedModel) -> None:
    hidden = states_of(loaded, 3)[0]
    tokens = (40, 7, 12)
    whole = float32_logits(loaded.model, hidden)[:, list(tokens)]
    assert torch.allclose(logits_of_tokens(loaded.model, hidden, tokens), whole, atol=1e-5)
    readings = read_logits_of(whole, tokens)
    best = whole.softmax(dim=-1).max(dim=-1)
    assert readings[:, 0].tolist() == [tokens[place] for place in best.indices.tolist()]
    assert torch.allclose(readings[:, 1], best.values)
    assert first_tokens([(4, 5), (4, 6), (9,)]) == (4, 9)
    assert told_apart([(4, 5), (4, 6), (9,), (8,)]) == 0.75
    one = read_logits_of(whole[:, :1], tokens[:1])
    assert one[0].tolist() == [40.0, 1.0, 0.0, 0.0]
    with pytest.raises(NonFiniteLogitsError, match="check the model's dtype, and the lens"):
        read_logits_of(torch.full((1, 3), float("nan")), tokens)


def test_no_feature_looks_at_a_later_depth() -> None:
    readings = torch.rand(4, 6, 4)
    readings[..., 0] = torch.randint(0, 2, (4, 6))
    apart = torch.rand(4)
    whole = features_of(readings, apart)
    for depth in range(1, 7):
        assert torch.equal(features_of(readings[:, :depth], apart), whole[:, :depth])
    same = torch.zeros(1, 6, 4)
    patience = features_of(same, torch.ones(1))[0, :, FEATURES.index("patience")]
    assert patience.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def planted(num_questions: int, seed: int) -> ExitEvidence:
    """Every question is decided at a place of its own; from there on it reads as sure."""
    rng = np.random.default_rng(seed)
    decided = rng.integers(0, 5, size=num_questions)
    late = np.arange(4) >= decided[:, None]
    top = np.where(late, 0.8, 0.3) + rng.normal(scale=0.05, size=late.shape)
    plain = rng.random(num_questions) < 0.6
    right = np.where(late, plain[:, None], rng.random(late.shape) < 0.1)
    readings = np.stack([np.zeros_like(top), top, 1 - top, np.zeros_like(top)], axis=-1)
    return ExitEvidence(
        readings_NKR=torch.tensor(readings).float(),
        told_apart_N=torch.ones(num_questions),
        right_NK=right,
        agrees_NK=right == plain[:, None],
        plain_N=plain,
        num_tokens_N=np.full(num_questions, 50),
        groups_N=np.arange(num_questions, dtype=np.uint64),
    )


CHEAP = ExitCosts(num_layers=10, depths=(6, 7, 8, 9), read=0.0, bridge=0.1)
QUICK = FitConfig(max_drop=1.0, floor_errors=0.0, num_folds=2)


@pytest.mark.parametrize("label", ["gold", "final"])
def test_a_planted_depth_is_found_and_dear_reads_are_spared(label: str) -> None:
    config = replace(QUICK, exit_label=label)
    classifier, point = choose_exits(planted(300, seed=1), CHEAP, config)
    assert point.accuracy >= point.accuracy_plain - 0.01
    assert point.mean_layers < 8.5
    assert len(classifier.places) == 4
    dear = replace(CHEAP, read=40.0)  # 0.8 layers of all tokens each
    spared, dear_point = choose_exits(planted(300, seed=1), dear, config)
    assert len(spared.places) < 4
    assert point.mean_layers < dear_point.mean_layers < 10
    prohibitive = replace(CHEAP, read=400.0)
    stays, stays_point = choose_exits(planted(300, seed=1), prohibitive, config)
    assert (stays.places, stays.threshold) == ((), NEVER)
    assert stays_point.mean_layers == 10.0


def test_a_budget_that_only_the_bold_meet_is_met_or_nothing_stops() -> None:
    config = replace(QUICK, max_drop=8.0, max_layers_share=0.85)
    found, point = choose_exits(planted(300, seed=1), CHEAP, config)
    assert found.places
    assert point.mean_layers <= 8.5
    impossible, point = choose_exits(
        planted(300, seed=1), CHEAP, replace(config, max_layers_share=0.5)
    )
    assert (impossible.places, point.mean_layers) == ((), 10.0)


def test_few_questions_prove_nothing() -> None:
    config = replace(QUICK, max_drop=0.5, floor_errors=1.0)
    found, _ = choose_exits(planted(600, seed=1), CHEAP, config)
    assert found.places
    few, point = choose_exits(planted(60, seed=1), CHEAP, config)
    assert (few.places, point.mean_layers) == ((), 10.0)


@pytest.mark.parametrize("seed", range(2))
def test_luck_among_many_rules_is_seen_through(seed: int) -> None:
    """Every exit loses six in a hundred right answers, whatever is read of it.

    The best of many rules, out of fold, loses none of note on the questions that chose it.
    """
    evidence, rng = planted(200, seed=seed), np.random.default_rng(seed)
    lost_NK = rng.random(evidence.right_NK.shape) < 0.06
    evidence = replace(
        evidence,
        readings_NKR=torch.tensor(rng.random(evidence.readings_NKR.shape)).float(),
        right_NK=evidence.plain_N[:, None] & ~lost_NK,
    )
    config = replace(QUICK, max_drop=0.5)
    assert choices_by_care(evidence, CHEAP, config)[0.0].places
    found, point = choose_exits(evidence, CHEAP, config)
    assert (found.places, point.mean_layers) == ((), 10.0)


def test_the_error_is_that_of_bonett_and_price_and_groups_count_once() -> None:
    evidence = planted(120, seed=2)
    right = evidence.right_NK[:, 0]
    stopped = Stopped(right_N=right, layers_N=np.full(120, 7.0))
    point = stopped.point(evidence, 0.5)
    fixed, broken = int((right & ~evidence.plain_N).sum()), int((evidence.plain_N & ~right).sum())
    low, high = adjusted_difference(fixed, broken, 120)
    assert point.standard_error == pytest.approx((high - low) / 2 / NORMAL_BOUND)
    twice = evidence.of_rows(np.repeat(np.arange(120), 2))
    doubled = Stopped(right_N=np.repeat(right, 2), layers_N=np.full(240, 7.0))
    assert doubled.point(twice, 0.5).standard_error == pytest.approx(point.standard_error, rel=0.05)


def test_readings_that_tell_nothing_never_break_the_floor() -> None:
    evidence = planted(300, seed=1)
    noise = torch.rand(evidence.readings_NKR.shape, generator=torch.Generator().manual_seed(0))
    evidence = replace(evidence, readings_NKR=noise)
    _, point = choose_exits(evidence, CHEAP, replace(QUICK, max_drop=0.0, floor_errors=1.0))
    assert point.accuracy >= point.accuracy_plain


def test_candidates_are_ascending_and_distinct() -> None:
    found = candidates_of(5)
    assert len(set(found)) == len(found)
    assert found[:3] == [(0, 1, 2, 3, 4), (0, 2, 4), (0, 4)]
    assert len(candidates_of(12)) == 9
    assert all(places == tuple(sorted(places)) and places for places in found)
    assert exit_depths(LayerPath.identity(30)) == tuple(range(18, 30))
    assert exit_depths(LayerPath.identity(2)) == (1,)


def test_what_training_observes_is_what_exits_answer(loaded: LoadedModel) -> None:
    router = router_of(stop=0)
    task, examples = fruit_task(), [fruit_example(number) for number in range(5)]
    observer = ExitObserver(loaded=loaded, task=task, path=PLAIN, depths=DEPTHS, lens=router.lens)
    found = observer.observe(examples)
    running = router.model_of(loaded)
    for row, example in enumerate(examples):
        plain = evaluate_path(loaded, task, example, LayerPath.identity(NUM_LAYERS))
        assert bool(found["plain_N"][row]) == plain.is_correct
        assert found["num_tokens_N"][row] == encode_example(loaded, task, example).num_tokens
        for place, depth in enumerate(DEPTHS):
            verdict = evaluate_path(running, task, example, exit_path(depth, NUM_LAYERS))
            assert bool(found["right_NK"][row, place]) == verdict.is_correct
            assert bool(found["agrees_NK"][row, place]) == (verdict.output == plain.output)


def test_a_saved_lens_exit_chooses_as_before(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(30)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    config = FitConfig(router="lens-exit", max_drop=100.0, floor_errors=0.0, num_folds=2)
    metas = [
        fit(corpus, out, config, lambda *_: loaded, task_spec=None, force=False).meta
        for out in (tmp_path / "routers" / "one", tmp_path / "elsewhere" / "two")
    ]
    assert metas[0].weights_sha256 == metas[1].weights_sha256
    router, _ = load_router(tmp_path / "routers" / "one", loaded)
    assert isinstance(router, LensExitRouter)
    assert router.path.is_identity
    assert "path" not in metas[0].settings  # as former versions wrote it
    assert router.depths == exit_depths(PLAIN)
    asked = router.with_choices([(40,), (41, 5), (42,)])
    routed = asked.route(loaded, IDS, threshold=0.0)
    assert routed.path.layers == tuple(range(len(routed.path)))
    assert metas[0].metrics["validation_mean_layers"] < NUM_LAYERS
    file = tmp_path / "routers" / "one" / "router.json"
    file.write_text(
        file.read_text().replace('"num_layers": 6,\n    "depths"', '"num_layers": 3,\n    "depths"')
    )
    with pytest.raises(ConfigError, match=r"weights .* do not fit its settings"):
        load_router(tmp_path / "routers" / "one", loaded)


def random_lens() -> Lens:
    generator = torch.Generator().manual_seed(1)
    return Lens(
        kind=LensKind.KL,
        weight_LDD=0.1 * torch.randn(NUM_LAYERS, WIDTH, WIDTH, generator=generator),
        bias_LD=0.1 * torch.randn(NUM_LAYERS, WIDTH, generator=generator),
    )


def test_a_named_lens_is_read_through(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = random_lens()
    save_lens(tmp_path / "lens", lens, loaded)
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(10)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    config = FitConfig(router="lens-exit", lens=str(tmp_path / "lens"), num_folds=2)
    fit(corpus, tmp_path / "out", config, lambda *_: loaded, task_spec=None, force=False)
    router, _ = load_router(tmp_path / "out", loaded)
    assert isinstance(router, LensExitRouter)
    for place, depth in enumerate(router.depths):
        assert torch.equal(router.weight_KDD[place], lens.weight_LDD[depth])
        assert torch.equal(router.bias_KD[place], lens.bias_LD[depth])


def test_a_lens_that_knows_the_questions_is_refused_and_one_that_does_not_say_warns(
    tmp_path: Path,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = fruit_task()
    of_task = texts_of_task(loaded, task, num_tokens=40, split="test")
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: task)
    records = [record(fruit_example(n), (1, 1, 1, 0, 0, 1)) for n in range(10)]
    corpus = write_corpus(tmp_path / "corpus", records, task=task)

    def fit_with(name: str, **found: str) -> str:
        """What is said on the way."""
        save_lens(tmp_path / name, random_lens(), loaded, found=found)
        config = FitConfig(router="lens-exit", lens=str(tmp_path / name), num_folds=2)
        fit(corpus, tmp_path / "out" / name, config, lambda *_: loaded, task_spec=None, force=False)
        return capsys.readouterr().err

    with pytest.raises(
        ConfigError, match=r"was fitted to task fruit.* or leave --lens out"
    ) as told:
        fit_with("knows", texts=of_task.source)
    assert "\n" not in str(told.value)
    for texts in ("task fruits", "text wiki.txt", "self, seed 0"):
        assert "warning" not in fit_with(texts, texts=texts)
    (warning,) = [line for line in fit_with("silent").splitlines() if "warning" in line]
    assert "does not say what it was fitted to; if questions of task fruit" in warning


def test_exits_lie_on_a_path(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    records = [record(fruit_example(n), (1, 1, 0, 1, 1, 0)) for n in range(20)]
    corpus = write_corpus(tmp_path / "corpus", records, task=fruit_task())
    config = FitConfig(
        router="lens-exit", max_drop=100.0, floor_errors=0.0, exit_path="static", num_folds=2
    )
    fit(corpus, tmp_path / "out", config, lambda *_: loaded, task_spec=None, force=False)
    router, meta = load_router(tmp_path / "out", loaded)
    assert isinstance(router, LensExitRouter)
    assert meta.settings["path"] == "0-1,3-4"
    assert (router.path.layers, router.depths) == ((0, 1, 3, 4), (2, 3))
    routed = router.with_choices([(40,), (41, 5)]).route(loaded, IDS, threshold=0.0)
    assert routed.path.layers == (0, 1)  # the floor lets it stop at once
    never = router.route(loaded, IDS, threshold=1.0)
    assert never.path == router.path
    running = router.model_of(loaded).model
    whole, bare = materialise(running, router.path), materialise(loaded.model, router.path)
    inputs = torch.tensor([IDS])
    with torch.inference_mode():  # its end is no exit, though it leaves out the last layer
        assert torch.equal(whole(inputs).logits, bare(inputs).logits)
        exit_logits = materialise(running, routed.path)(inputs).logits
        states = list(walk_states(loaded.model, inputs, routed.path))[-1]
        read = loaded.model.model.norm(router.lens.translate(states, 0))
    assert torch.allclose(exit_logits, float32_logits(loaded.model, read), atol=1e-5)
    for text in ("0,1,1,2", "3,1,4", "2"):
        with pytest.raises(ConfigError, match="can't be left early; a lens exit takes a path"):
            fit(
                corpus, tmp_path / "other", replace(config, exit_path=text), lambda *_: loaded,
                task_spec=None, force=False,
            )  # fmt: skip
