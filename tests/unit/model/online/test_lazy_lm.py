"""Tokens that stop by themselves, against models that run everything, or one token at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from support import tiny
from support.bridges import random_bridges
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import InvalidPathError, ModelError
from search_cluster.model.bridge.bridges import ATTRIBUTE
from search_cluster.model.head import float32_logits
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise, shallow_copy
from search_cluster.model.online.lazy_cache import LazyCache
from search_cluster.model.online.lazy_lm import with_token_exits
from search_cluster.model.online.lazy_pass import LazyPass
from search_cluster.model.online.token_exits import TokenExit, TokenReading
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath

NEW_TOKENS = 8
TOLERANCE = 3e-4
PLAIN = LayerPath.identity(tiny.NUM_LAYERS)
PLAN = (3, 4, 3, 3, 6, 2, 5, 6)
"""Where the prompt's last token stops, and those after it: two run everything, and bring along what
waits at three depths."""


@dataclass(slots=True)
class Planned:
    """Tokens stop where a plan says, the last entry for all that come later."""

    plan: Sequence[int]
    path: LayerPath = PLAIN
    seen: list[Tensor] = field(default_factory=list)

    def begin(self) -> TokenReading:
        """Yield the one depth."""
        depth = self.plan[min(len(self.seen), len(self.plan) - 1)]
        hidden_1D = yield depth
        self.seen.append(hidden_1D)
        return TokenExit(depth=depth)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.tiny_model(request.param)


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny.tiny_model()


def prompt(length: int = 9, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, tiny.VOCAB_SIZE, (1, length), generator=generator)


def generate(model: PreTrainedModel, ids: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """Sequences ``[B, T]`` and the logits ``[B, T, V]`` of new tokens, greedy."""
    done = model.generate(  # type: ignore[operator]
        ids,
        **{
            "attention_mask": torch.ones_like(ids),
            "do_sample": False,
            "min_new_tokens": NEW_TOKENS,
            "max_new_tokens": NEW_TOKENS,
            "pad_token_id": tiny.PAD_ID,
            "return_dict_in_generate": True,
            "output_logits": True,
            **options,
        },
    )
    return done.sequences, torch.stack(done.logits, dim=1)


def test_what_never_stops_is_the_plain_model_to_the_bit(model: PreTrainedModel) -> None:
    ids, logits = generate(with_token_exits(model, Planned([6])), prompt())
    expected_ids, expected = generate(model, prompt())
    assert torch.equal(ids, expected_ids)
    assert torch.equal(logits, expected)


def test_whoever_runs_everything_reads_the_plain_models_logits(model: PreTrainedModel) -> None:
    cache = LazyCache()
    ids, logits = generate(with_token_exits(model, Planned(PLAN)), prompt(), past_key_values=cache)
    with torch.inference_mode():
        plain = model(ids).logits[0, prompt().shape[1] - 1 :]
        walked = LayerwisePass(model, ids)
        for depth in range(1, tiny.NUM_LAYERS + 1):
            walked.step(depth - 1)
            for number in (index for index, stop in enumerate(PLAN) if stop == depth):
                at = walked.logits(torch.tensor([prompt().shape[1] - 1 + number]))[0, 0]
                torch.testing.assert_close(logits[0, number], at, atol=TOLERANCE, rtol=0)
    for number in (4, 7):
        torch.testing.assert_close(logits[0, number], plain[number], atol=TOLERANCE, rtol=0)
    assert tuple(stopped.depth for stopped in cache.exits[0]) == PLAN
    (text,) = cache.passes
    assert text.num_layer_tokens == tiny.NUM_LAYERS * (ids.shape[1] - 1)  # the last one is not read
    # Each token's own layers, and nothing besides: what waited came along in the same calls.
    assert text.num_layer_calls == sum(PLAN)


def test_missing_layers_are_those_of_one_token_at_a_time(model: PreTrainedModel) -> None:
    """Stops at depth 2 again and again, then one token runs everything."""
    exits = Planned([2, 2, 2, 2, 2, 6])
    ids, logits = generate(
        with_token_exits(model, exits), prompt(), max_new_tokens=6, min_new_tokens=6
    )
    whole, cache = materialise(model, PLAIN), DynamicCache(config=model.config)
    with torch.inference_mode():
        for token in range(ids.shape[1] - 1):
            alone = whole.model(ids[:, token : token + 1], past_key_values=cache, use_cache=True)
        expected = float32_logits(whole, alone.last_hidden_state)[0, -1]
    torch.testing.assert_close(logits[0, 5], expected, atol=TOLERANCE, rtol=0)
    assert int(ids[0, -1]) == int(expected.argmax())


def test_work_that_nobody_needed_is_never_done(llama: PreTrainedModel) -> None:
    cache = LazyCache()
    plan = (4, 2, 3, 2, 2, 2, 2, 2)
    generate(with_token_exits(llama, Planned(plan)), prompt(), past_key_values=cache)
    (text,) = cache.passes
    # The prompt stays at 4; the next two tokens at 3, the deepest behind them; the others at 2.
    assert text.num_layer_tokens == 9 * 4 + 2 * 3 + 5 * 2
    assert text.num_layer_calls == sum(plan)
    depths = [len(slot.keys[0, 0]) if slot.is_initialized else 0 for slot in text._cache.layers]
    assert depths == [16, 16, 11, 9, 0, 0]


def test_rows_of_a_batch_do_not_know_each_other(llama: PreTrainedModel) -> None:
    rows = [prompt(4, seed=5)[0], prompt(9, seed=6)[0]]
    ids = torch.stack([torch.cat([torch.zeros(5, dtype=torch.long), rows[0]]), rows[1]])
    cache = LazyCache()
    found, _ = generate(
        with_token_exits(llama, Planned([3])),
        ids,
        attention_mask=(ids > 0).long(),
        past_key_values=cache,
    )
    for row, alone in enumerate(rows):
        expected, _ = generate(with_token_exits(llama, Planned([3])), alone[None])
        assert found[row, -NEW_TOKENS:].tolist() == expected[0, -NEW_TOKENS:].tolist()
    assert [text.num_tokens for text in cache.passes] == [11, 16]


def test_stopping_at_one_depth_is_a_model_of_so_many_layers(llama: PreTrainedModel) -> None:
    short = materialise(llama, LayerPath((0, 1, 2), tiny.NUM_LAYERS))
    for options in ({}, {"num_beams": 3}):
        found, _ = generate(with_token_exits(llama, Planned([3])), prompt(), **options)
        expected, _ = generate(short, prompt(), **options)
        assert torch.equal(found, expected)
    with torch.inference_mode():
        whole = with_token_exits(llama, Planned([3]))(prompt()).logits
        assert torch.allclose(whole, short(prompt()).logits, atol=1e-5)


def test_what_stops_crosses_its_bridge_and_a_path_may_skip(llama: PreTrainedModel) -> None:
    path = LayerPath((0, 1, 3, 4), tiny.NUM_LAYERS)
    bridged = shallow_copy(llama)
    bridged.model = shallow_copy(llama.model)
    setattr(bridged.model, ATTRIBUTE, random_bridges([Jump(3, 6)]))
    found, _ = generate(with_token_exits(bridged, Planned([3, 4, 3], path)), prompt())
    through = materialise(bridged, LayerPath((0, 1, 3), tiny.NUM_LAYERS))
    whole = materialise(llama, path)
    with torch.inference_mode():
        for number, model in enumerate((through, whole, through)):
            before = found[:, : 9 + number]
            assert int(found[0, 9 + number]) == int(model(before).logits[0, -1].argmax())
    bare, _ = generate(with_token_exits(llama, Planned([3], path)), prompt())
    assert not torch.equal(found, bare)


def test_a_pass_is_forked_whole(llama: PreTrainedModel) -> None:
    exits = Planned([3, 6])
    text = LazyPass(llama, PLAIN)
    with torch.inference_mode():
        text.append(prompt()[0])
        text.read(exits)
        twin = text.fork()
        outcomes = []
        for one in (text, twin, text):
            one.append(torch.tensor([7]))
            outcomes.append(one.read(Planned([6]))[0])
    assert torch.equal(outcomes[0], outcomes[1])
    assert (text.num_tokens, twin.num_tokens) == (11, 10)


def test_what_cannot_be_is_refused_in_one_line(llama: PreTrainedModel) -> None:
    model = with_token_exits(llama, Planned([3]))
    ids = prompt()
    for arguments, message in (
        ({"inputs_embeds": torch.zeros(1, 2, 32)}, "reads token ids and gives logits"),
        ({"input_ids": ids, "labels": ids}, "neither inputs_embeds nor labels"),
        ({"input_ids": ids, "past_key_values": DynamicCache()}, "keeps its texts in a LazyCache"),
        ({"input_ids": ids, "output_hidden_states": True}, "is not recorded"),
        ({"input_ids": ids, "position_ids": ids}, "leave position_ids out"),
        ({"input_ids": ids, "attention_mask": ids * 0}, "nothing but padding"),
    ):
        with pytest.raises(ModelError, match=message):
            model(**arguments)
    with pytest.raises(ModelError, match="leave assistant_model out"):
        model.generate(ids, assistant_model=llama)  # type: ignore[operator]
    with pytest.raises(InvalidPathError, match=r"path 0-1,1 runs a layer twice"):
        with_token_exits(llama, Planned([3], LayerPath((0, 1, 1), tiny.NUM_LAYERS)))
