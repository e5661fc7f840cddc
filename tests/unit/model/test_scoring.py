import dataclasses
import itertools

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny
from transformers import PreTrainedModel

from search_cluster.errors import (
    InvalidPathError,
    InvalidValueError,
    NonFiniteLogitsError,
    PromptError,
)
from search_cluster.model.decoding import answer_text, decode_greedily, end_ids
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import choice_margin, evaluate_path, evaluate_with, score_choices
from search_cluster.paths.layer_path import LayerPath

IDENTITY = LayerPath.identity(tiny.NUM_LAYERS)
REPEAT = LayerPath((0, 1, 2, 2, 3, 5), tiny.NUM_LAYERS)


def score_by_hand(
    model: PreTrainedModel,
    layers: tuple[int, ...],
    context: tuple[int, ...],
    choice: tuple[int, ...],
) -> float:
    walk = LayerwisePass(model, torch.tensor([context + choice]))
    for layer in layers:
        walk.step(layer)
    log_probs = walk.logits(slice(None)).log_softmax(-1)[0]
    rows = range(len(context) - 1, len(context) + len(choice) - 1)
    return sum(float(log_probs[row, token]) for row, token in zip(rows, choice, strict=True)) / len(
        choice
    )


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3_text", "olmoe"])
@pytest.mark.parametrize("path", [IDENTITY, REPEAT])
def test_choices_are_scored_by_mean_log_probability_one_by_one(
    family: str, path: LayerPath
) -> None:
    loaded = loaded_tiny(family=family)
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    expected = [
        score_by_hand(loaded.model, path.layers, encoded.context_ids, choice)
        for choice in encoded.choice_ids
    ]
    assert score_choices(materialise(loaded.model, path), encoded) == pytest.approx(
        expected, abs=1e-5
    )
    verdict = evaluate_path(loaded, ChoiceTask(), CAPITAL, path)
    best = max(range(4), key=expected.__getitem__)
    assert verdict.output == CAPITAL.choices[best]
    assert verdict.reward == float(best == CAPITAL.gold_index)
    assert verdict.margin == pytest.approx(
        expected[1] - max(expected[0], expected[2], expected[3]), abs=1e-5
    )
    assert verdict.num_layer_tokens == len(path) * encoded.num_tokens


def test_identity_a_broken_embedding_of_a_token_that_no_prompt_holds_changes_no_verdict() -> None:
    loaded = loaded_tiny()
    before = evaluate_path(loaded, ChoiceTask(), CAPITAL, IDENTITY)
    loaded.model.model.embed_tokens.weight[tiny.PAD_ID] = float("nan")
    assert evaluate_path(loaded, ChoiceTask(), CAPITAL, IDENTITY) == before


def test_prompt_choices_that_are_the_same_tokens_have_no_verdict() -> None:
    example = dataclasses.replace(CAPITAL, choices=("is", "is"), gold="is", gold_index=1)
    with pytest.raises(PromptError, match="choices 'is' and 'is' are the same tokens"):
        evaluate_path(loaded_tiny(), ChoiceTask(), example, IDENTITY)
    assert choice_margin([-1.0, -1.0], example) == 0.0


def test_margins_need_a_gold_choice_and_a_wrong_one() -> None:
    assert (
        choice_margin([-1.0], dataclasses.replace(CAPITAL, choices=("Paris",), gold_index=0))
        is None
    )
    with pytest.raises(InvalidValueError, match="has choices but no gold index"):
        choice_margin([-1.0, -2.0], dataclasses.replace(CAPITAL, gold_index=None))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3_text", "qwen2_moe"])
@pytest.mark.parametrize("path", [IDENTITY, REPEAT])
def test_generated_answers_are_what_generate_writes(family: str, path: LayerPath) -> None:
    loaded = loaded_tiny(family=family, chat=True)
    encoded = encode_example(loaded, GenerateTask(), SUM)
    view = materialise(loaded.model, path)
    ids = torch.tensor([encoded.context_ids])
    expected = view.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
    )[0]
    expected = expected[len(encoded.context_ids) :].tolist()
    assert (
        list(decode_greedily(view, loaded.tokenizer, encoded.context_ids, max_new_tokens=12))
        == expected
    )
    verdict = evaluate_path(loaded, GenerateTask(), SUM, path)
    assert verdict.output == loaded.tokenizer.decode(expected, skip_special_tokens=True)
    assert verdict.num_layer_tokens == len(path) * (len(encoded.context_ids) + len(expected))
    assert verdict.margin is None


def next_token_model(successor: dict[int, int]) -> PreTrainedModel:
    """A model whose greedy answer walks along ``successor``.

    Attention and MLP are off, and the head is a lookup table.
    """
    model = tiny.tiny_model(hidden_size=tiny.VOCAB_SIZE + 3, head_dim=8, tie_word_embeddings=False)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(tiny.VOCAB_SIZE, tiny.VOCAB_SIZE + 3))
        model.lm_head.weight.zero_()
        for token, following in successor.items():
            model.lm_head.weight[following, token] = 1.0
    return model


def letters(text: str) -> list[int]:
    return list(tiny.tiny_tokenizer()(text, add_special_tokens=False).input_ids)


def answers(text: str, *after: int) -> PreTrainedModel:
    ids = [letters(":")[0], *letters(text), *after]
    return next_token_model(dict(itertools.pairwise(ids)))


def test_generation_ends_at_eos_which_is_not_part_of_the_text() -> None:
    loaded = loaded_tiny(answers("42", tiny.EOS_ID))
    verdict = evaluate_path(loaded, GenerateTask(), dataclasses.replace(SUM, gold="42"), IDENTITY)
    assert (verdict.output, verdict.reward) == ("42", 1.0)
    num_context = len(encode_example(loaded, GenerateTask(), SUM).context_ids)
    assert verdict.num_layer_tokens == tiny.NUM_LAYERS * (num_context + 3)


def test_generation_is_cut_before_the_first_stop_string() -> None:
    loaded = loaded_tiny(answers("7\nQ;x"))
    task = GenerateTask(stop_strings=("Q;", "\n"))
    verdict = evaluate_path(loaded, task, SUM, IDENTITY)
    assert verdict.output == "7"
    num_context = len(encode_example(loaded, task, SUM).context_ids)
    assert verdict.num_layer_tokens == tiny.NUM_LAYERS * (num_context + 2)


def test_a_stop_string_may_span_tokens() -> None:
    loaded = loaded_tiny(answers("7Q;x"))
    assert evaluate_path(loaded, GenerateTask(stop_strings=("Q;",)), SUM, IDENTITY).output == "7"


def test_generation_ends_at_the_limit() -> None:
    loaded = loaded_tiny(
        next_token_model({letters(":")[0]: letters("1")[0], letters("1")[0]: letters("1")[0]})
    )
    assert evaluate_path(loaded, GenerateTask(max_new_tokens=5), SUM, IDENTITY).output == "11111"


def test_prompt_an_answer_ends_at_every_end_token_that_the_model_or_the_tokenizer_knows() -> None:
    loaded = loaded_tiny()
    loaded.model.generation_config.eos_token_id = [7, 9]
    loaded.model.config.eos_token_id = 11
    assert end_ids(loaded.model, loaded.tokenizer) == {7, 9, 11, tiny.EOS_ID}
    loaded.model.generation_config.eos_token_id = loaded.model.config.eos_token_id = None
    assert end_ids(loaded.model, loaded.tokenizer) == {tiny.EOS_ID}
    # What a chat template writes behind an answer ends it, whatever the files name.
    loaded.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<start>\n{% endfor %}"
    )
    assert end_ids(loaded.model, loaded.tokenizer) == {tiny.EOS_ID, tiny.IM_START_ID}
    loaded.tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert end_ids(loaded.model, loaded.tokenizer) == {tiny.EOS_ID}


def test_penalties_of_a_models_own_generation_config_do_not_apply() -> None:
    loaded = loaded_tiny(
        next_token_model({letters(":")[0]: letters("1")[0], letters("1")[0]: letters("1")[0]})
    )
    loaded.model.generation_config.repetition_penalty = 50.0
    assert evaluate_path(loaded, GenerateTask(max_new_tokens=4), SUM, IDENTITY).output == "1111"


def test_answer_text_drops_special_tokens() -> None:
    ids = [tiny.BOS_ID, *letters("a b"), tiny.EOS_ID, tiny.PAD_ID]
    assert answer_text(tiny.tiny_tokenizer(), ids) == "a b"


@pytest.mark.parametrize("task", [ChoiceTask(), GenerateTask()])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_broken_weights_give_an_error_and_never_a_reward(task: ChoiceTask, bad: float) -> None:
    model = tiny.tiny_model()
    with torch.no_grad():
        model.model.layers[3].mlp.down_proj.weight[0, 0] = bad
    loaded = loaded_tiny(model)
    with pytest.raises(
        NonFiniteLogitsError,
        match=r"\d+ of \d+ logits are NaN or infinite; this path has no verdict",
    ):
        evaluate_path(loaded, task, CAPITAL, IDENTITY)
    around = LayerPath((0, 1, 2, 4, 5), tiny.NUM_LAYERS)
    assert evaluate_path(loaded, task, CAPITAL, around).num_layer_tokens > 0


def test_a_path_of_another_depth_is_refused() -> None:
    with pytest.raises(InvalidPathError, match="this model has 6"):
        evaluate_path(loaded_tiny(), ChoiceTask(), CAPITAL, LayerPath.identity(7))


@pytest.mark.parametrize("task", [ChoiceTask(), GenerateTask()])
def test_verdicts_repeat_bit_by_bit_and_a_view_can_be_reused(task: ChoiceTask) -> None:
    loaded = loaded_tiny()
    view = materialise(loaded.model, REPEAT)
    first = evaluate_path(loaded, task, CAPITAL, REPEAT)
    for _ in range(3):
        assert evaluate_with(view, loaded, task, CAPITAL, num_layers_run=len(REPEAT)) == first


def test_padding_of_shorter_choices_does_not_touch_their_scores() -> None:
    loaded = loaded_tiny(family="mistral")
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    together = score_choices(loaded.model, encoded)
    for index, choice in enumerate(encoded.choice_ids):
        alone = score_choices(loaded.model, dataclasses.replace(encoded, choice_ids=(choice,)))
        assert together[index] == pytest.approx(alone[0], abs=1e-5)
