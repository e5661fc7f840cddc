"""What a lens exit's training sees of a question: rows with their states, and a lens for them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support import tiny
from support.router_corpus import fruit_example, fruit_task, generated_fruit_task, tiny_loaded

from router_train.data.facts import fact_hashes
from router_train.routers.lens_exit import task_lens
from router_train.routers.lens_exit.answer_rows import AnswerRecorder
from router_train.routers.lens_exit.observing import ExitObserver
from router_train.routers.lens_exit.task_lens import TaskLens, fit_task_lens
from search_cluster.errors import CorpusError
from search_cluster.model.head import float32_logits, logits_of_tokens
from search_cluster.model.lens.fitting.divergence import candidate_divergences
from search_cluster.model.lens.fitting.ridge import choose_translators
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.states import walk_states
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.model.scoring import evaluate_path, score_choices
from search_cluster.paths.layer_path import LayerPath

NUM_LAYERS, WIDTH = 6, 32
DEPTHS = (4, 5)
PLAIN = LayerPath.identity(NUM_LAYERS)
GENERATED = generated_fruit_task(max_new_tokens=2)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def test_rows_are_those_of_a_plain_pass(loaded: LoadedModel) -> None:
    encoded = EncodedExample(
        context_ids=(5, 9, 12, 30), choice_ids=((40, 41, 42), (40, 41, 43), (50,))
    )
    recorder = AnswerRecorder(loaded, PLAIN)
    recorder.record(encode_example(loaded, fruit_task(), fruit_example(3)))  # leaves nothing behind
    found = recorder.record(encoded)
    assert found.scores == tuple(score_choices(loaded.model, encoded))
    assert found.row_of_token == ((0, 1, 2), (0, 1, 2), (0,))
    path = LayerPath.identity(NUM_LAYERS)
    with torch.inference_mode():
        walked = torch.stack(
            list(walk_states(loaded.model, torch.tensor([[5, 9, 12, 30, 40, 41]]), path))
        )[:, 0]
    assert torch.allclose(found.context_STD, walked[:, :3], atol=1e-5)
    assert torch.allclose(found.states_SND, walked[:, 3:], atol=1e-5)
    norm = loaded.model.model.norm
    log_NV = float32_logits(loaded.model, norm(found.states_SND[-1])).log_softmax(dim=-1)
    again = found.scores_of(log_NV, encoded.choice_ids)
    assert again == pytest.approx(list(found.scores), abs=1e-5)
    with_template = recorder.record(replace(encoded, num_template_ids=2))
    assert with_template.scores == pytest.approx(list(found.scores), abs=1e-5)
    assert torch.allclose(with_template.states_SND, found.states_SND, atol=1e-5)
    assert torch.allclose(with_template.context_STD, found.context_STD[:, 2:], atol=1e-5)
    for _ in range(2):  # what is kept of the template is not used up
        once_more = recorder.record(replace(encoded, num_template_ids=2))
        assert once_more.scores == with_template.scores
    plain = loaded.model.model.layers
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in plain)


def test_a_task_lens_reads_its_answers_better_than_no_lens(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_lens, "STRENGTHS", (1e-2,))  # held-out rows of both halves choose it
    examples = [fruit_example(number) for number in range(60)]
    halves = (examples[:20], examples[20:40])
    facts = fact_hashes(examples)
    found = fit_task_lens(loaded, fruit_task(), halves, facts, PLAIN, DEPTHS)
    again = fit_task_lens(loaded, fruit_task(), halves, facts, PLAIN, DEPTHS)
    assert torch.equal(found.lens.weight_LDD, again.lens.weight_LDD)
    back = TaskLens.restored(found.tensors())
    assert torch.equal(back.of_halves[1].bias_LD, found.of_halves[1].bias_LD)
    # A half's lens knows nothing of the other half.
    others = (examples[:20], examples[40:60])
    changed = fit_task_lens(loaded, fruit_task(), others, facts, PLAIN, DEPTHS)
    assert changed.of_halves[0].bias_LD.equal(found.of_halves[0].bias_LD)
    assert not changed.of_halves[1].bias_LD.equal(found.of_halves[1].bias_LD)
    recorder = AnswerRecorder(loaded, PLAIN)
    rows = torch.cat(
        [
            recorder.record(encode_example(loaded, fruit_task(), example)).states_SND
            for example in examples[40:]
        ],
        dim=1,
    )
    for lens in (found.lens, *found.of_halves):
        for place, depth in enumerate(DEPTHS):
            candidates = [rows[depth], lens.translate(rows[depth], place)]
            bare, translated = candidate_divergences(loaded.model, rows[-1], candidates).tolist()
            assert translated < 0.5 * bare
    with pytest.raises(CorpusError, match="at least 2 are needed that can be asked"):
        fit_task_lens(loaded, fruit_task(), (examples[:1], []), facts, PLAIN, DEPTHS)


def test_the_strength_of_a_task_lens_is_chosen_by_facts_that_taught_none(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty questions about ten facts those of the tenth fact choose, and no other."""
    examples = [fruit_example(number) for number in range(40)]
    facts = {example.example_id: number % 10 for number, example in enumerate(examples)}
    choosing: list[torch.Tensor] = []

    def choose(*given: Any) -> Any:
        choosing.append(given[2])
        return choose_translators(*given)

    monkeypatch.setattr(task_lens, "choose_translators", choose)
    fit_task_lens(loaded, fruit_task(), (examples[:20], examples[20:]), facts, PLAIN, DEPTHS)
    recorder = AnswerRecorder(loaded, PLAIN)
    rows = [
        recorder.record(encode_example(loaded, fruit_task(), example)).states_SND
        for example in examples[9::10]
    ]
    expected = torch.cat(rows, dim=1)[[*DEPTHS, NUM_LAYERS]]
    assert torch.allclose(choosing[0], expected, atol=1e-5)


def test_generated_answers_are_observed_through_the_lens(loaded: LoadedModel) -> None:
    examples = [fruit_example(number) for number in range(3)]
    halves = ([fruit_example(n) for n in range(5)], [fruit_example(n) for n in range(5, 9)])
    facts = fact_hashes([*halves[0], *halves[1]])
    lens = fit_task_lens(loaded, GENERATED, halves, facts, PLAIN, DEPTHS).lens
    observer = ExitObserver(loaded=loaded, task=GENERATED, path=PLAIN, depths=DEPTHS, lens=lens)
    found = observer.observe(examples)
    assert found["vocabulary_NKR"].shape == (3, 2, 4)
    assert not found["choices_NKR"].any()
    assert found["told_apart_N"].tolist() == [1.0, 1.0, 1.0]
    for row, example in enumerate(examples):
        plain = evaluate_path(loaded, GENERATED, example, LayerPath.identity(NUM_LAYERS))
        assert found["num_tokens_N"][row] == plain.num_layer_tokens // NUM_LAYERS
        assert found["plain_N"][row] == plain.is_correct


def test_a_lens_of_zeros_observes_early_exits(loaded: LoadedModel) -> None:
    zeros = Lens(
        kind=LensKind.RIDGE,
        weight_LDD=torch.zeros(2, WIDTH, WIDTH),
        bias_LD=torch.zeros(2, WIDTH),
    )
    examples = [fruit_example(number) for number in range(6)]
    observer = ExitObserver(loaded=loaded, task=fruit_task(), path=PLAIN, depths=DEPTHS, lens=zeros)
    found = observer.observe(examples)
    for row, example in enumerate(examples):
        for place, depth in enumerate(DEPTHS):
            path = LayerPath(tuple(range(depth)), NUM_LAYERS)
            verdict = evaluate_path(loaded, fruit_task(), example, path)
            assert found["right_NK"][row, place] == verdict.is_correct


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_families_with_windows_and_caps_are_read_alike(family: str) -> None:
    model = tiny.tiny_model(family)
    loaded = replace(tiny_loaded(), model=model)
    encoded = EncodedExample(
        context_ids=tuple(range(5, 17)), choice_ids=((40, 41, 42), (50,)), num_template_ids=7
    )
    found = AnswerRecorder(loaded, PLAIN).record(encoded)
    assert found.scores == pytest.approx(score_choices(model, encoded), abs=1e-4)
    with torch.inference_mode():
        final_ND = model.model.norm(found.states_SND[-1])
        some = logits_of_tokens(model, final_ND, (40, 7, 12))
        assert torch.allclose(some, float32_logits(model, final_ND)[:, [40, 7, 12]], atol=1e-4)
    again = found.scores_of(float32_logits(model, final_ND).log_softmax(dim=-1), encoded.choice_ids)
    assert again == pytest.approx(list(found.scores), abs=1e-4)


def test_rows_along_a_path_are_those_of_its_pass(loaded: LoadedModel) -> None:
    path = LayerPath((0, 1, 3, 4), NUM_LAYERS)
    encoded = encode_example(loaded, fruit_task(), fruit_example(3))
    found = AnswerRecorder(loaded, path).record(encoded)
    expected = score_choices(materialise(loaded.model, path), encoded)
    assert found.scores == pytest.approx(expected, abs=1e-4)
    with torch.inference_mode():
        ids = torch.tensor([encoded.context_ids])
        walked = torch.stack(list(walk_states(loaded.model, ids, path)))[:, 0]
    assert torch.allclose(found.states_SND[:, 0], walked[:, -1], atol=1e-5)
