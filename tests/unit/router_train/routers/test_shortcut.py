"""Teaching a shortcut on tiny models: rows, losses, descents, the comparison and the alarms."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.router_corpus import (
    fruit_example,
    fruit_task,
    record,
    tiny_loaded,
    write_corpus,
    write_table,
)
from support.shortcuts import random_shortcut

from router_train.config import FitConfig
from router_train.data.facts import fact_places, question_hashes
from router_train.evaluation.evaluate import evaluate
from router_train.evaluation.predictions import PredictionLog
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import CURVE_NAME, load_router
from router_train.routers.curve import read_curve
from router_train.routers.shortcut.attention import (
    Attention,
    attention_of,
    place_name,
    token_class,
)
from router_train.routers.shortcut.comparison import (
    Candidate,
    comparison,
    comparison_lines,
    mean_interval,
)
from router_train.routers.shortcut.descent import teach
from router_train.routers.shortcut.losses import CHUNK_ROWS, Judge, Said, chunks
from router_train.routers.shortcut.page import page_of
from router_train.routers.shortcut.readouts import (
    PathAlone,
    Sizes,
    new_linear,
    new_shortcut,
    rank_of_cost,
)
from router_train.routers.shortcut.router import ShortcutRouter, restore_shortcut
from router_train.routers.shortcut.rows import Rows, Source, joined
from router_train.routers.shortcut.training import JSON_NAME, parts_of, sources_of
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.model.head import float32_logits
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import evaluate_path, score_choices
from search_cluster.model.shortcut.shortcut import num_products, shortcut_cost
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

SKIP = LayerPath((0, 1, 3, 5), tiny.NUM_LAYERS)
TWICE = LayerPath((0, 1, 3, 3, 4, 5), tiny.NUM_LAYERS)
PLAIN = LayerPath.identity(tiny.NUM_LAYERS)
SOURCES = (1, 3)
CYCLE = 7


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def source_of(loaded: LoadedModel, path: LayerPath = SKIP, folder: Path | None = None) -> Source:
    return Source(
        loaded=loaded, path=path, sources=SOURCES, folder=folder, key={"model": "m"}, seed=0
    )


def cyclic_texts(starts: Sequence[int], length: int = 24) -> list[TokenSequence]:
    """Texts in which each token says which one is next."""
    return [
        TokenSequence(ids=tuple(30 + (start + 3 * place) % CYCLE for place in range(length)))
        for start in starts
    ]


@pytest.fixture(scope="module")
def rows(loaded: LoadedModel) -> Rows:
    """Questions, and texts of which the last two are fresh."""
    source = source_of(loaded)
    questions = source.of_examples(fruit_task(), [fruit_example(number) for number in range(12)])
    texts = source.of_texts(cyclic_texts(range(CYCLE)))
    return joined(questions, texts)


def sizes_of(rows: Rows) -> Sizes:
    return Sizes.of(rows.final_ND, rows.change_NSD)


@pytest.mark.parametrize("path", [SKIP, TWICE, PLAIN], ids=str)
def test_rows_are_states_and_changes_of_a_pass_by_hand(
    loaded: LoadedModel, path: LayerPath
) -> None:
    (text,) = cyclic_texts([2])
    found = source_of(loaded, path).of_texts([text])
    with torch.inference_mode():
        by_hand = LayerwisePass(loaded.model, torch.tensor([text.ids]))
        changes = {}
        for layer in path.layers:
            before = by_hand.hidden_BTD
            by_hand.step(layer)
            changes[layer] = (by_hand.hidden_BTD - before)[0, :-1]
        whole = LayerwisePass(loaded.model, torch.tensor([text.ids]))
        for layer in PLAIN.layers:
            whole.step(layer)
    near = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(found.final_ND, by_hand.hidden_BTD[0, :-1], **near)
    torch.testing.assert_close(found.full_ND, whole.hidden_BTD[0, :-1], **near)
    for place, layer in enumerate(SOURCES):
        torch.testing.assert_close(found.change_NSD[:, place], changes[layer], **near)
    (unit,) = found.units
    assert unit.tokens == text.ids[:-1]
    assert [token for _, token in unit.chains[0]] == list(text.ids[1:])


def test_the_path_alone_scores_choices_as_the_product_does(loaded: LoadedModel, rows: Rows) -> None:
    """The accuracy and the loss that are compared are those of the product's own scores."""
    judge = Judge(model=loaded.model, rows=rows, learn="answer")
    asked = [unit for unit in rows.units if unit.is_asked]
    said = judge.say(PathAlone(), asked)
    view = materialise(loaded.model, SKIP)
    for number, unit in enumerate(asked):
        encoded = encode_example(loaded, fruit_task(), fruit_example(number))
        assert unit.name == fruit_example(number).example_id
        scores = torch.tensor(score_choices(view, encoded))
        assert bool(said.right_U[number]) == (int(scores.argmax()) == unit.gold)
        loss = float(scores.logsumexp(0) - scores[unit.gold])
        assert float(said.loss_U[number]) == pytest.approx(loss, abs=1e-4)
    losses = judge.losses(PathAlone(), asked)
    torch.testing.assert_close(losses.double(), said.loss_U, rtol=1e-5, atol=1e-5)


def test_divergence_is_that_of_the_softmax(loaded: LoadedModel, rows: Rows) -> None:
    judge = Judge(model=loaded.model, rows=rows, learn="full")
    unit = rows.units[0]
    said = judge.say(PathAlone(), [unit])
    with torch.inference_mode():
        log_full, log_path = (
            float32_logits(loaded.model, loaded.model.model.norm(state[unit.rows])).log_softmax(-1)
            for state in (rows.full_ND, rows.final_ND)
        )
    expected = (log_full.exp() * (log_full - log_path)).sum(-1).mean()
    assert float(said.divergence_U[0]) == pytest.approx(float(expected), abs=1e-5)
    assert torch.equal(said.loss_U, said.divergence_U)


def test_a_generated_answer_is_judged_by_its_tokens(loaded: LoadedModel) -> None:
    task = get_task("arithmetic")
    examples = task.load("train", None).examples[:2]
    found = source_of(loaded).of_examples(task, examples)
    assert [unit.is_asked for unit in found.units] == [False, False]
    gold = loaded.tokenizer(examples[0].gold, add_special_tokens=False)["input_ids"]
    assert [token for _, token in found.units[0].chains[0]] == gold[: task.max_new_tokens]
    said = Judge(model=loaded.model, rows=found, learn="answer").say(PathAlone(), found.units)
    assert not said.right_U.any()
    assert bool((said.loss_U > 0).all())


@pytest.mark.parametrize("learn", ["tokens", "full"])
def test_training_lowers_the_loss_on_fresh_texts(
    loaded: LoadedModel, rows: Rows, learn: str
) -> None:
    texts = [unit for unit in rows.units if unit.is_text]
    teaching, stopping, fresh = texts[:4], texts[4:5], texts[5:]
    judge = Judge(model=loaded.model, rows=rows, learn=learn)
    config = FitConfig(router="shortcut", epochs=30, learning_rate=0.02, batch_size=2)
    before = judge.say(PathAlone(), fresh).loss_U.mean()
    for mixed in (False, True):
        readout = new_shortcut(SOURCES, sizes_of(rows), is_mixed=mixed, seed=0)
        assert judge.say(readout, fresh).loss_U.mean() == before
        taught = teach(judge, readout, teaching, stopping, config, name="shortcut")
        assert taught.best_epoch > 0
        assert judge.say(readout, fresh).loss_U.mean() < 0.7 * before
        assert bool(readout.shortcut.query_RD.any()) != mixed
    linear = new_linear(sizes_of(rows))
    teach(judge, linear, teaching, stopping, config, name="linear map")
    assert judge.say(linear, fresh).loss_U.mean() < 0.7 * before


def test_what_does_not_help_stays_switched_off(loaded: LoadedModel, rows: Rows) -> None:
    """The stopping unit wants what the teaching one does not: no epoch is better than none."""
    judge = Judge(model=loaded.model, rows=rows, learn="answer")
    asked = [unit for unit in rows.units if unit.is_asked]
    readout = new_shortcut(SOURCES, sizes_of(rows), seed=0)
    config = FitConfig(router="shortcut", epochs=4, learning_rate=0.5, batch_size=1)
    taught = teach(judge, readout, asked[:1], asked[1:2], config, name="shortcut")
    assert taught.best_epoch == 0
    assert readout.shortcut.is_off
    assert torch.equal(judge.say(readout, asked).loss_U, judge.say(PathAlone(), asked).loss_U)
    assert not readout.shortcut.output_DR.requires_grad


def test_readouts_cost_what_a_map_of_the_whole_state_does() -> None:
    for width, num_sources in ((576, 6), (2048, 6), (576, 1), (4096, 12)):
        rank = rank_of_cost(num_sources, width)
        assert 0.8 * width**2 < num_products(num_sources, rank, width) <= width**2
    assert rank_of_cost(6, 576) == 64


def test_units_are_read_a_bounded_number_of_rows_at_a_time(rows: Rows) -> None:
    many = list(rows.units) * 40
    parts = list(chunks(many))
    assert [unit for part in parts for unit in part] == many
    assert max(sum(len(unit.tokens) for unit in part) for part in parts) <= CHUNK_ROWS
    assert len(parts) > 2


def test_rows_that_are_kept_are_the_same(loaded: LoadedModel, tmp_path: Path) -> None:
    examples = [fruit_example(number) for number in range(3)]
    first = source_of(loaded, folder=tmp_path).of_examples(fruit_task(), examples)
    files = {file: file.stat().st_ino for file in tmp_path.iterdir()}
    again = source_of(loaded, folder=tmp_path).of_examples(fruit_task(), examples)
    assert files == {file: file.stat().st_ino for file in tmp_path.iterdir()}, "none is new"
    assert torch.equal(first.change_NSD, again.change_NSD)
    assert first.units == again.units


def attention(
    weights: Sequence[float], *, is_off: bool = False, is_mixed: bool = False, num_rows: int = 4
) -> Attention:
    return Attention(
        sources=tuple(range(len(weights))),
        weight_NS=torch.tensor([list(weights)] * num_rows),
        token_class_N=("number", "punctuation") * (num_rows // 2),
        place_N=("prompt's end",) * num_rows,
        is_mixed=is_mixed,
        is_off=is_off,
    )


def test_alarms() -> None:
    assert attention([0.6, 0.3, 0.1]).alarms() == []
    (collapsed,) = attention([0.02, 0.95, 0.03]).alarms()
    assert "attention has collapsed on layer 1: 95.0 % of all weight" in collapsed
    (uniform,) = attention([0.34, 0.33, 0.33]).alarms()
    assert "attention does not choose" in uniform
    assert attention([0.34, 0.33, 0.33], is_mixed=True).alarms() == []
    (collapsed,) = attention([0.02, 0.95, 0.03], is_mixed=True).alarms()
    assert "the constant mix has collapsed on layer 1" in collapsed
    (off,) = attention([0.02, 0.95, 0.03], is_off=True).alarms()
    assert "switched off" in off
    assert attention([1.0]).alarms() == []


def test_the_alarm_sees_a_shortcut_that_looks_at_one_source(
    loaded: LoadedModel, rows: Rows
) -> None:
    readout = new_shortcut(SOURCES, sizes_of(rows), seed=0)
    readout.shortcut.output_DR += 0.1
    quiet = attention_of(readout, rows, rows.units, loaded.tokenizer)
    assert not any("collapsed" in alarm for alarm in quiet.alarms())
    readout.shortcut.source_bias_HS[:, 1] = 50.0
    found = attention_of(readout, rows, rows.units, loaded.tokenizer)
    (alarm,) = found.alarms()
    assert "attention has collapsed on layer 3: 100.0 %" in alarm
    by_place = {row["name"]: row["num_rows"] for row in found.table() if row["by"] == "place"}
    assert by_place["prompt's end"] == 12
    assert by_place["text 000-015"] == 16 * CYCLE
    assert by_place["text 016-063"] == 7 * CYCLE


def test_token_classes_and_places() -> None:
    found = {text: token_class(text) for text in
             (" the", " fig", "ing", " 12", "?", "\n", "<eos>")}  # fmt: skip
    assert list(found.values()) == [
        *("function word", "content word", "word piece", "number", "punctuation", "space"),
        "control token",
    ]
    assert [place_name(place, is_text=False) for place in (0, 1, 3, 9)] == [
        *("prompt's end", "answer token 1", "answer token 3 on", "answer token 3 on"),
    ]
    assert [place_name(place, is_text=True) for place in (0, 16, 300)] == [
        *("text 000-015", "text 016-063", "text 256 on"),
    ]


def said(right: Sequence[bool], loss: float) -> Said:
    return Said(
        loss_U=torch.arange(len(right)).double() + loss,
        divergence_U=torch.zeros(len(right), dtype=torch.float64),
        right_U=torch.tensor(right),
    )


def test_differences_are_paired() -> None:
    alone = Candidate(
        name="path alone", cost_layers=0, said=said([True, False, False], 1), of_texts=None
    )
    shortcut = Candidate(
        name="shortcut", cost_layers=0.1, said=said([False, True, True], 0.5), of_texts=None
    )
    linear = Candidate(
        name="linear map", cost_layers=0.1, said=said([True, True, True], 2), of_texts=None
    )
    table = comparison([alone, shortcut, linear])
    assert "minus_path_alone" not in table[0]
    found = table[1]["minus_path_alone"]["accuracy"]
    assert (found["num_fixed"], found["num_broken"]) == (2, 1)
    assert found["mean"] == pytest.approx(1 / 3)
    assert found["low"] < 1 / 3 < found["high"]
    # All losses fall by the same: a difference that is paired has no width.
    assert table[1]["minus_path_alone"]["loss"] == {"mean": -0.5, "low": -0.5, "high": -0.5}
    assert table[2]["shortcut_minus_it"]["loss"]["mean"] == pytest.approx(-1.5)
    assert table[2]["shortcut_minus_it"]["accuracy"]["num_broken"] == 1
    assert [row["is_router"] for row in table] == [False, True, False]
    other = comparison([alone, shortcut, linear], "linear map")
    assert [row["is_router"] for row in other] == [False, False, True]
    lines = comparison_lines(other)
    assert [line.endswith("; the router") for line in lines] == [False, False, True]
    assert mean_interval(torch.tensor([2.0])) == {"mean": 2.0, "low": None, "high": None}


def test_held_out_questions_of_one_fact_make_no_difference_surer() -> None:
    rng = torch.Generator().manual_seed(0)
    plain, other = (torch.rand(90, generator=rng) < share for share in (0.5, 0.7))

    def table(times: int, facts: Sequence[int] | None) -> dict[str, Any]:
        readouts = [
            Candidate(
                name=name,
                cost_layers=0,
                said=Said(
                    loss_U=right.double().repeat_interleave(times),
                    divergence_U=torch.zeros(90 * times, dtype=torch.float64),
                    right_U=right.repeat_interleave(times),
                ),
                of_texts=None,
            )
            for name, right in (("path alone", plain), ("shortcut", other))
        ]
        return comparison(readouts, facts=facts)[1]

    once = table(1, None)
    often = table(5, [fact for fact in range(90) for _ in range(5)])
    unaware = table(5, None)
    assert (once["num_facts"], often["num_facts"], often["n"]) == (90, 90, 450)
    for name, digits in (("accuracy", 0.01), ("loss", 0.001)):
        told, of_once, of_unaware = (
            item["minus_path_alone"][name] for item in (often, once, unaware)
        )
        assert told["mean"] == pytest.approx(of_once["mean"])
        assert told["low"] == pytest.approx(of_once["low"], abs=digits)
        assert of_unaware["low"] > told["low"] + 0.04
    assert often["accuracy_low"] == pytest.approx(once["accuracy_low"], abs=0.01)
    assert table(1, [0] * 90)["minus_path_alone"]["loss"]["low"] is None


def test_the_page_escapes_what_it_shows() -> None:
    alone = Candidate(name="path alone", cost_layers=0, said=said([True], 1), of_texts=None)
    table = comparison([alone])
    table[0]["name"] = "<script>"
    found = {
        "path": "0-5", "sources": [1], "rank": 8, "num_heads": 4, "learn": "answer",
        "num_teaching": 1, "num_stopping": 1, "readouts": table, "readout": "mix",
        "attention": {"sources": [1], "alarms": ["attention has collapsed"], "rows": []},
    }  # fmt: skip
    page = page_of(found)
    assert "<script>" not in page
    assert '<p class="alarm">attention has collapsed</p>' in page
    assert "Kept readout: mix.</p>" in page
    chosen = {**found, "chosen_by": {"stopping_loss": {"attention": 1.5, "mix": 1.25}}}
    assert "what stopped the training (attention 1.5000, mix 1.2500)" in " ".join(
        page_of(chosen).split()
    )


def test_parts_keep_equal_questions_together() -> None:
    examples = [fruit_example(number) for number in range(60)]
    teaching, stopping, judged = parts_of(examples, 0.2, None, 0)
    ids = [{item.example_id for item in part} for part in (teaching, stopping, judged)]
    assert sum(map(len, ids)) == 60
    assert not ids[0] & ids[1] | ids[1] & ids[2] | ids[0] & ids[2]
    hashes = question_hashes(examples)
    assert all(hashes[item] < 0.2 * 2**64 for item in ids[2])
    fewer = parts_of(examples, 0.2, 10, 0)
    assert len(fewer[0]) + len(fewer[1]) == 10
    assert fewer[2] == judged
    assert [len(part) for part in parts_of(examples[:3], 0.2, None, 0)] == [1, 1, 1]
    with pytest.raises(CorpusError, match="needs at least 3 different questions"):
        parts_of(examples[:2], 0.2, None, 0)


def asked(number: int, gold: str) -> Example:
    """A question of its own that is answered freely."""
    example = fruit_example(number)
    return replace(example, choices=(), gold=gold, gold_index=None)


def test_no_fact_is_both_taught_and_judged() -> None:
    """Each fact is asked four times, in other words; of one question each nothing changes."""
    examples = [asked(number, f"fact {number // 4}") for number in range(400)]
    parts = parts_of(examples, 0.15, None, 0)
    facts = [{item.gold for item in part} for part in parts]
    assert not facts[0] & facts[1] | facts[1] & facts[2] | facts[0] & facts[2]
    places = fact_places(examples)
    validation = {name for name, value in places.items() if value < 0.15 * 2**64}
    assert {item.example_id for item in parts[2]} == validation
    # Whatever a fact's questions hash to, the share of facts that stop the training is kept.
    assert 0.05 < len(facts[1]) / len(facts[0] | facts[1]) < 0.3
    assert 0.05 < len(facts[2]) / 100 < 0.3
    assert sum(map(len, parts)) == 400
    fewer = parts_of(examples, 0.15, 50, 0)
    assert {item.example_id for item in fewer[1]} <= {item.example_id for item in parts[1]}
    alone = [asked(number, f"fact {number}") for number in range(60)]
    hashes = question_hashes(alone)
    assert all(
        hashes[item.example_id] >= 0.85 * 2**64 for item in parts_of(alone, 0.15, None, 0)[1]
    )


def test_facts_that_are_asked_often_are_not_all_judged() -> None:
    examples = [asked(number, f"fact {number % 22}") for number in range(440)]
    teaching, stopping, judged = parts_of(examples, 0.3, None, 0)
    assert len(teaching) + len(stopping) + len(judged) == 440
    assert 0.1 < len(judged) / 440 < 0.5


def test_sources() -> None:
    assert sources_of(None, LayerPath.identity(30)) == (4, 9, 14, 19, 24, 29)
    assert sources_of(None, SKIP) == (0, 1, 3, 5)
    assert sources_of("3,1,3", SKIP) == (1, 3)
    with pytest.raises(ConfigError, match="name layer 2, which path 0-1,3,5 does not run"):
        sources_of("1,2", SKIP)


def test_a_router_comes_back_as_it_was(rows: Rows) -> None:
    shortcut = new_shortcut(SOURCES, sizes_of(rows), seed=0).shortcut
    router = ShortcutRouter(SKIP, shortcut)
    again = restore_shortcut(router.settings(), router.tensors())
    assert again.path == SKIP
    assert again.shortcut.digest == shortcut.digest
    assert again.shortcut.sources == SOURCES
    lacking = {name: part for name, part in router.tensors().items() if name != "query_RD"}
    with pytest.raises(ConfigError, match="do not fit its settings"):
        restore_shortcut(router.settings(), lacking)
    with pytest.raises(ConfigError, match="do not fit its settings"):
        restore_shortcut({**router.settings(), "sources": "3,1"}, router.tensors())


@pytest.mark.parametrize("path", [PLAIN, SKIP], ids=str)
def test_an_evaluation_compares_with_the_frozen_model(
    tmp_path: Path, loaded: LoadedModel, path: LayerPath
) -> None:
    """Also where the router's path is the plain one, which is read through the shortcut."""
    router = ShortcutRouter(path, random_shortcut())
    task, examples = fruit_task(), [fruit_example(number, "test") for number in range(10)]
    routed = RoutedModel(loaded, router)
    assert not routed.keeps_plain
    log = PredictionLog(tmp_path / "log", {"router": "shortcut"})
    report = evaluate(loaded, routed, task, examples, log, static_path=SKIP)
    answers = [log.get(example.example_id) for example in examples]
    differ = 0
    for example, answer in zip(examples, answers, strict=True):
        plain = evaluate_path(loaded, task, example, PLAIN)
        through = evaluate_path(routed.running, task, example, path)
        beside = evaluate_path(loaded, task, example, SKIP)
        assert answer is not None
        assert (answer.plain_output, answer.routed_output) == (plain.output, through.output)
        assert answer.others[str(SKIP)] == beside.reward
        differ += plain.output != through.output
    assert differ
    cost = shortcut_cost(routed.running.model, path.layers)
    assert report.layers_reading == pytest.approx(cost)


def test_static_is_the_path_of_a_static_router(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = fruit_task()
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: task)
    records = [record(fruit_example(number), (1, 1, 0, 1, 1, 1)) for number in range(16)]
    write_corpus(tmp_path / "corpus", records, task=task)
    shorter = LayerPath.from_decisions((1, 1, 0, 1, 1, 1))
    right_NK = np.array([[False, True]] * 16)
    write_table(tmp_path / "corpus", [PLAIN, shorter], right_NK)
    config = FitConfig(router="shortcut", exit_path="static", epochs=1, floor_errors=0)
    outcome = fit(
        tmp_path / "corpus", tmp_path / "router", config, lambda *_: loaded, task_spec=None,
        force=False,
    )  # fmt: skip
    router, meta = load_router(tmp_path / "router", loaded)
    assert isinstance(router, ShortcutRouter)
    assert router.path == shorter
    assert meta.metrics["held_out_questions"] >= 1
    assert "taught and stopped nothing" in meta.judged_on
    assert outcome.meta.digest == meta.digest


PLUMS = tuple(replace(fruit_example(number), gold="plum", gold_index=2) for number in range(40))
"""Questions from which there is something to learn: it is always the plum."""


@pytest.fixture(scope="module")
def plum_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [record(example, (1, 1, 0, 1, 1, 1)) for example in PLUMS]
    return write_corpus(tmp_path_factory.mktemp("plums") / "corpus", records, task=fruit_task())


@pytest.mark.parametrize("asked_for", ["attention", "mix", "single", "best"])
def test_the_readout_that_is_kept_is_the_one_that_answers(
    tmp_path: Path,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    plum_corpus: Path,
    asked_for: str,
) -> None:
    """Restored, it is right, and as sure, on the questions that judge as its row says."""
    task = fruit_task()
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: task)
    config = FitConfig(
        router="shortcut", exit_path="0-1,3,5", sources="1,3", readout=asked_for, epochs=3,
        learning_rate=0.01,
    )  # fmt: skip
    out = tmp_path / "router"
    fit(plum_corpus, out, config, lambda *_: loaded, task_spec=None, force=False)
    found = json.loads((out / JSON_NAME).read_text())
    (row,) = [row for row in found["readouts"] if row["is_router"]]
    router, meta = load_router(out, loaded)
    assert isinstance(router, ShortcutRouter)
    assert not router.shortcut.is_off
    kept, running = found["readout"], router.model_of(loaded)
    assert bool(router.shortcut.query_RD.any()) == (kept != "mix")
    assert len(router.shortcut.sources) == (1 if kept == "single" else 2)
    assert found["sources"] == list(router.shortcut.sources) == found["attention"]["sources"]
    judged = parts_of(PLUMS, config.validation_share, None, 0)[2]
    view = materialise(running.model, SKIP)
    right, losses = [], []
    for example in judged:
        scores = torch.tensor(score_choices(view, encode_example(running, task, example)))
        assert example.gold_index is not None
        losses.append(float(scores.logsumexp(0) - scores[example.gold_index]))
        verdict = RoutedModel(loaded, router).evaluate(task, example)[1]
        right.append(verdict.is_correct)
    assert row["n"] == len(judged)
    assert row["accuracy"] == pytest.approx(np.mean(right))
    assert row["loss"] == pytest.approx(np.mean(losses), abs=1e-4)
    assert meta.metrics["loss_router"] == row["loss"]
    assert row["cost_layers"] == pytest.approx(shortcut_cost(running.model, SKIP.layers), abs=1e-4)
    curve = read_curve(out / CURVE_NAME)
    assert len(curve) == row["num_epochs"]
    if asked_for == "best":
        stopping_loss = found["chosen_by"]["stopping_loss"]
        assert set(stopping_loss) == {"attention", "mix", "single"}
        assert stopping_loss[kept] == min(stopping_loss.values())
        assert kept != "attention"  # which is what is kept where nobody asks
        assert stopping_loss[kept] == min(point["validation_loss"] for point in curve)
    else:
        assert (kept, "chosen_by" in found) == (asked_for, False)


@pytest.mark.parametrize("asked_for", ["mix", "single"])
def test_of_one_source_there_is_nothing_to_keep_but_itself(
    tmp_path: Path,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    plum_corpus: Path,
    asked_for: str,
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    config = FitConfig(router="shortcut", sources="3", readout=asked_for)
    with pytest.raises(ConfigError, match="and layer 3 is the only source"):
        fit(
            plum_corpus, tmp_path / "out", config, lambda *_: loaded, task_spec=None, force=False
        )  # fmt: skip
    with pytest.raises(ConfigError, match="readout is 'scalar'; it must be one of attention, mix"):
        FitConfig(router="shortcut", readout="scalar")
