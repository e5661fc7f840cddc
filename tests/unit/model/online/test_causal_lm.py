from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from support import tiny
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, StoppingCriteria, TextIteratorStreamer

from search_cluster.errors import InvalidPathError, ModelError
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.causal_lm import with_online_routing
from search_cluster.model.online.chooser import BeginOnlineRouting, OnlineRouting
from search_cluster.paths.layer_path import LayerPath

PATHS = (
    (0, 1, 2, 3, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 2, 3, 4, 5, 5),
    (0, 4, 1, 5, 2, 3, 3, 0, 1, 2, 5, 4, 4, 1),
    (3,),
)
LENGTHS = (9, 14, 3, 11, 6)
NEW_TOKENS = 8
TOLERANCE = 3e-4


@dataclass(frozen=True)
class Choice:
    path: LayerPath


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.tiny_model(request.param)


@pytest.fixture(scope="module", params=("llama", "mistral", "gemma2", "gemma3_text", "qwen2_moe"))
def typical(request: pytest.FixtureRequest) -> PreTrainedModel:
    """One model of each anatomy, and one with experts."""
    return tiny.tiny_model(request.param)


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny.tiny_model()


def path_of(layers: tuple[int, ...]) -> LayerPath:
    return LayerPath(layers, tiny.NUM_LAYERS)


def prompts(lengths: Sequence[int] = LENGTHS, seed: int = 3) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(torch.randint(4, tiny.VOCAB_SIZE, (length,), generator=generator).tolist())
        for length in lengths
    ]


def padded(rows: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
    longest = max(map(len, rows))
    ids = [[tiny.PAD_ID] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def by_prompt(paths: Sequence[tuple[int, ...]]) -> BeginOnlineRouting:
    """The paths in the order of `prompts()`."""
    table = dict(zip(prompts(), paths, strict=True))

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        yield from ()
        return Choice(path_of(table[ids]))

    return begin_routing


def always(layers: tuple[int, ...]) -> BeginOnlineRouting:
    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        yield from ()
        return Choice(path_of(layers))

    return begin_routing


def generate(
    model: PreTrainedModel, inputs: dict[str, Tensor], **options: object
) -> tuple[Tensor, Tensor]:
    """New tokens ``[B, T]`` and their logits ``[B, T, V]``, greedy unless options say otherwise."""
    done = model.generate(  # type: ignore[operator]
        **inputs,
        **{
            "do_sample": False,
            "min_new_tokens": NEW_TOKENS,
            "max_new_tokens": NEW_TOKENS,
            "return_dict_in_generate": True,
            "output_logits": True,
            **options,
        },
    )
    return done.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(done.logits, dim=1)


def test_rows_of_a_batch_are_what_their_materialised_paths_say(model: PreTrainedModel) -> None:
    cache = OnlineCache()
    ids, logits = generate(
        with_online_routing(model, by_prompt(PATHS)), padded(prompts()), past_key_values=cache
    )
    assert [choice.path.layers for choice in cache.choices] == list(PATHS)
    for row, (prompt, layers) in enumerate(zip(prompts(), PATHS, strict=True)):
        alone, alone_logits = generate(materialise(model, path_of(layers)), padded([prompt]))
        torch.testing.assert_close(logits[row], alone_logits[0], atol=TOLERANCE, rtol=0)
        assert ids[row].tolist() == alone[0].tolist()
        assert tuple(step.layer for step in cache.steps if row in step.rows) == layers
    plain_ids, _ = generate(model, padded(prompts()))
    assert [bool((plain_ids[row] == ids[row]).all()) for row in range(5)] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("layers", PATHS)
def test_one_prompt_equals_its_materialised_path_bit_by_bit(
    model: PreTrainedModel, layers: tuple[int, ...]
) -> None:
    inputs = padded(prompts()[1:2])
    ids, logits = generate(with_online_routing(model, always(layers)), inputs)
    expected_ids, expected = generate(materialise(model, path_of(layers)), inputs)
    assert torch.equal(logits, expected)
    assert torch.equal(ids, expected_ids)


def test_a_pass_without_cache_equals_the_materialised_path(model: PreTrainedModel) -> None:
    inputs = {"input_ids": padded(prompts()[1:2])["input_ids"]}
    expected = materialise(model, path_of(PATHS[3]))(**inputs, use_cache=False).logits
    output = with_online_routing(model, always(PATHS[3]))(**inputs, use_cache=False)
    assert torch.equal(output.logits, expected)
    assert output.past_key_values is None


def test_states_are_those_of_the_plain_pass_without_padding(model: PreTrainedModel) -> None:
    seen: dict[tuple[int, ...], list[Tensor]] = {}

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        states = seen.setdefault(ids, [])
        states.append((yield ()))
        states.append((yield (0, 1)))
        states.append((yield (1,) if len(ids) > 8 else (4,)))
        return Choice(path_of((0, 1, 1, 5) if len(ids) > 8 else (0, 1, 4, 2)))

    with_online_routing(model, begin_routing)(**padded(prompts()))
    for prompt in prompts():
        plain = LayerwisePass(model, torch.tensor([prompt]))
        expected = [plain.hidden_BTD[0]]
        for layers in ((0, 1), (1,) if len(prompt) > 8 else (4,)):
            for layer in layers:
                plain.step(layer)
            expected.append(plain.hidden_BTD[0])
        for state, reference in zip(seen[prompt], expected, strict=True):
            torch.testing.assert_close(state, reference, atol=TOLERANCE, rtol=1e-4)


def layer_calls(model: PreTrainedModel, work: Callable[[], object]) -> list[int]:
    """How often each layer is called, whatever the batch is."""
    calls = [0] * tiny.NUM_LAYERS
    handles = []
    for index, layer in enumerate(model.model.layers):

        def count(*_: object, index: int = index) -> None:
            calls[index] += 1

        handles.append(layer.register_forward_hook(count))
    work()
    for handle in handles:
        handle.remove()
    return calls


def test_no_pass_is_spent_on_choosing_and_none_on_skipped_layers(llama: PreTrainedModel) -> None:
    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        yield (0,)
        yield (1, 1)
        return Choice(path_of((0, 1, 1, 3, 5)))

    cache = OnlineCache()
    model = with_online_routing(llama, begin_routing)
    calls = layer_calls(llama, lambda: generate(model, padded(prompts()), past_key_values=cache))
    assert calls == [NEW_TOKENS, 2 * NEW_TOKENS, 0, NEW_TOKENS, 0, NEW_TOKENS]
    assert cache.discarded_layer_tokens == (0,) * 5


def test_rows_that_take_a_layer_run_it_together(llama: PreTrainedModel) -> None:
    paths = ((0, 1, 2, 3, 4, 5), (0, 2, 3, 5), (0, 2, 2, 3, 4, 5), (1, 2, 5), (0, 1, 2, 3, 4, 5))
    cache = OnlineCache()
    model = with_online_routing(llama, by_prompt(paths))
    calls = layer_calls(llama, lambda: generate(model, padded(prompts()), past_key_values=cache))
    assert calls == [NEW_TOKENS * uses for uses in (1, 1, 2, 1, 1, 1)]
    everybody = (0, 1, 2, 3, 4)
    assert [(step.layer, step.rows) for step in cache.steps] == [
        (0, (0, 1, 2, 4)), (1, (0, 3, 4)), (2, everybody), (2, (2,)), (3, (0, 1, 2, 4)),
        (4, (0, 2, 4)), (5, everybody),
    ]  # fmt: skip
    for step, slot in zip(cache.steps, cache.layers, strict=True):
        assert len(slot.keys) == len(step.rows)
        assert slot.get_seq_length() == max(LENGTHS) + NEW_TOKENS - 1


def test_a_choice_against_what_ran_starts_again_and_is_counted(typical: PreTrainedModel) -> None:
    late = path_of((1, 2, 2, 4))

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        yield (0, 1, 2)
        return Choice(late if len(ids) > 8 else LayerPath.identity(6))

    cache = OnlineCache()
    ids, logits = generate(
        with_online_routing(typical, begin_routing), padded(prompts()), past_key_values=cache
    )
    assert cache.discarded_layer_tokens == tuple(
        3 * length if length > 8 else 0 for length in LENGTHS
    )
    for row, prompt in enumerate(prompts()):
        view = materialise(typical, late) if len(prompt) > 8 else typical
        alone, alone_logits = generate(view, padded([prompt]))
        torch.testing.assert_close(logits[row], alone_logits[0], atol=TOLERANCE, rtol=0)
        assert ids[row].tolist() == alone[0].tolist()
    inputs = padded(prompts())
    positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    uncached = with_online_routing(typical, begin_routing)(
        **inputs, position_ids=positions, use_cache=False
    ).logits[:, -1]
    torch.testing.assert_close(uncached, logits[:, 0], atol=TOLERANCE, rtol=0)


def test_beams_of_prompts_on_different_paths(typical: PreTrainedModel) -> None:
    options = {
        "num_beams": 3,
        "num_return_sequences": 2,
        "output_logits": False,
        "return_dict_in_generate": False,
    }

    def beams(causal_lm: PreTrainedModel, rows: list[tuple[int, ...]]) -> list[list[int]]:
        inputs = padded(rows)
        config = {
            "do_sample": False,
            "min_new_tokens": NEW_TOKENS,
            "max_new_tokens": NEW_TOKENS,
            **options,
        }
        sequences = causal_lm.generate(**inputs, **config)  # type: ignore[operator]
        found: list[list[int]] = sequences[:, inputs["input_ids"].shape[1] :].tolist()
        return found

    together = beams(with_online_routing(typical, by_prompt(PATHS)), prompts())
    for row, (prompt, layers) in enumerate(zip(prompts(), PATHS, strict=True)):
        assert together[2 * row : 2 * row + 2] == beams(
            materialise(typical, path_of(layers)), [prompt]
        )


def test_equal_rows_share_one_decision(llama: PreTrainedModel) -> None:
    asked: list[tuple[int, ...]] = []

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        asked.append(ids)
        yield (0,)
        return Choice(path_of((0, 3, 5)))

    generate(
        with_online_routing(llama, begin_routing),
        padded(prompts()[:2]),
        do_sample=True,
        num_return_sequences=4,
    )
    assert asked == prompts()[:2]


def test_sampling_draws_what_the_materialised_path_draws(llama: PreTrainedModel) -> None:
    options = {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9}
    inputs = padded(prompts()[:1])
    torch.manual_seed(11)
    ids, _ = generate(with_online_routing(llama, always(PATHS[2])), inputs, **options)
    torch.manual_seed(11)
    expected, _ = generate(materialise(llama, path_of(PATHS[2])), inputs, **options)
    assert torch.equal(ids, expected)
    torch.manual_seed(12)
    other, _ = generate(with_online_routing(llama, always(PATHS[2])), inputs, **options)
    assert not torch.equal(ids, other)


def test_streamers_and_stopping_criteria(llama: PreTrainedModel) -> None:
    class AfterFive(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
            return torch.full((len(input_ids),), input_ids.shape[1] >= LENGTHS[0] + 5)

    tokenizer = tiny.tiny_tokenizer()
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=20)
    ids, _ = generate(
        with_online_routing(llama, always(PATHS[1])),
        padded(prompts()[:1]),
        streamer=streamer,
        stopping_criteria=[AfterFive()],
    )
    assert ids.shape == (1, 5)
    assert "".join(streamer) == tokenizer.decode(ids[0])
    expected, _ = generate(materialise(llama, path_of(PATHS[1])), padded(prompts()[:1]))
    assert ids[0].tolist() == expected[0, :5].tolist()


def test_a_conversation_goes_on_along_its_paths(typical: PreTrainedModel) -> None:
    rows = prompts()[:1]
    cache = OnlineCache()
    asked = 0

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        nonlocal asked
        asked += 1
        yield ()
        return Choice(path_of(PATHS[3]))

    causal_lm = with_online_routing(typical, begin_routing)
    first, _ = generate(causal_lm, padded(rows), past_key_values=cache)
    longer = (*rows[0], *first[0].tolist(), 7, 8, 9, 10)
    second, logits = generate(causal_lm, padded([longer]), past_key_values=cache)
    expected, expected_logits = generate(materialise(typical, path_of(PATHS[3])), padded([longer]))
    assert asked == 1
    torch.testing.assert_close(logits, expected_logits, atol=TOLERANCE, rtol=0)
    assert torch.equal(second, expected)


def test_paths_outlive_a_cache_that_the_family_drops() -> None:
    model = tiny.longrope_model(stable_tokens=16, max_positions=64)
    asked: list[tuple[int, ...]] = []

    def begin_routing(ids: tuple[int, ...]) -> OnlineRouting:
        asked.append(ids)
        yield ()
        return Choice(path_of(PATHS[1] if ids == prompts()[0] else PATHS[2]))

    rows = [prompts()[0], prompts()[3]]  # 9 and 11 tokens, which pass 16 on the way
    ids, logits = generate(with_online_routing(model, begin_routing), padded(rows))
    assert asked == rows
    both = padded(rows)
    for row, layers in enumerate(PATHS[1:3]):
        expected_ids, expected = generate(materialise(model, path_of(layers)), both)
        torch.testing.assert_close(logits[row], expected[row], atol=TOLERANCE, rtol=0)
        assert torch.equal(ids[row], expected_ids[row])


def test_the_model_itself_stays_as_it_is(llama: PreTrainedModel) -> None:
    before, _ = generate(llama, padded(prompts()))
    causal_lm = with_online_routing(llama, always(PATHS[1]))
    generate(causal_lm, padded(prompts()))
    after, _ = generate(llama, padded(prompts()))
    assert torch.equal(before, after)
    assert isinstance(causal_lm, type(llama))
    assert causal_lm.lm_head is llama.lm_head
    assert {id(p) for p in causal_lm.parameters()} == {id(p) for p in llama.parameters()}


def test_what_would_split_the_prompt_is_refused(llama: PreTrainedModel) -> None:
    causal_lm = with_online_routing(llama, always(PATHS[1]))
    inputs = padded(prompts()[:1])
    with pytest.raises(
        ModelError, match="use_cache is False; a routed model keeps its paths in the cache"
    ):
        generate(causal_lm, inputs, use_cache=False)
    with pytest.raises(
        ModelError, match="prefill_chunk_size is 4; a path is chosen from the whole prompt"
    ):
        generate(causal_lm, inputs, prefill_chunk_size=4)
    with pytest.raises(ModelError, match="prompt_lookup_num_tokens is 2"):
        generate(causal_lm, inputs, prompt_lookup_num_tokens=2)
    with pytest.raises(
        ModelError, match="past_key_values is a DynamicCache; a routed model keeps its paths in"
    ):
        generate(causal_lm, inputs, past_key_values=DynamicCache())
    with pytest.raises(ModelError, match="output_hidden_states is not recorded"):
        causal_lm(**inputs, output_hidden_states=True)
    with pytest.raises(ModelError, match="pass input_ids, not inputs_embeds"):
        causal_lm(inputs_embeds=torch.zeros(1, 3, 32))
    with pytest.raises(
        ModelError, match=r"the attention mask has shape \(1, 3\) and the prompt \(1, 9\)"
    ):
        causal_lm(input_ids=inputs["input_ids"], attention_mask=torch.tensor([[0, 1, 1]]))


def test_a_choice_out_of_the_model_is_named(llama: PreTrainedModel) -> None:
    def deeper(ids: tuple[int, ...]) -> OnlineRouting:
        yield (6,)
        raise AssertionError

    def other(ids: tuple[int, ...]) -> OnlineRouting:
        yield from ()
        return Choice(LayerPath.identity(7))

    inputs = padded(prompts()[:1])
    with pytest.raises(InvalidPathError, match=r"asks for layer 6; the model has layers 0\.\.5"):
        with_online_routing(llama, deeper)(**inputs)
    with pytest.raises(InvalidPathError, match="of a model of 7 layers; this model has 6"):
        with_online_routing(llama, other)(**inputs)


def test_rows_on_different_paths_are_not_exchanged(llama: PreTrainedModel) -> None:
    cache = OnlineCache()
    generate(with_online_routing(llama, by_prompt(PATHS)), padded(prompts()), past_key_values=cache)
    with pytest.raises(
        ModelError, match="row 0 on path 0-5 can't go on from row 1 on path 0,2-3,5"
    ):
        cache.reorder_cache(torch.tensor([1, 0, 2, 3, 4]))
