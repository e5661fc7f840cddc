"""Where tokens stop, beside the plain model's text: counted by hand."""

from dataclasses import asdict, replace

import pytest
from support.router_corpus import tiny_loaded
from support.token_exit_router import NUM_LAYERS, PLAIN, router_of

from router_train.commands.exits import exits_text
from router_train.evaluation.token_exits import TextRun, measure_token_exits, run_text, summarise
from router_train.inference.routed_model import RoutedModel
from router_train.routers.fixed import FixedRouter
from router_train.routers.lens_exit.readings import read_cost
from search_cluster.errors import ConfigError
from search_cluster.model.bridge.bridges import share_of_layer
from search_cluster.model.decoding import decode_greedily
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_prompt_text
from search_cluster.paths.layer_path import LayerPath

VOCABULARY_SIZE = 301
PROMPTS = ("what is the capital city", "the answer is the number of the city", "which fruit")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def prompts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    return [encode_prompt_text(loaded, text) for text in PROMPTS]


def test_where_nothing_stops_the_text_is_the_plain_models_and_reading_is_lost(
    loaded: LoadedModel,
) -> None:
    found = measure_token_exits(
        loaded, RoutedModel(loaded, router_of(-9.0)), prompts(loaded), new_tokens=5
    )
    assert (found.stopped_share, found.agreement, found.same_text_share) == (0.0, 1.0, 1.0)
    assert found.same_tokens_share == 1.0
    assert found.stopped_agreement is None
    (at_end,) = found.by_depth
    assert (at_end.depth, at_end.layer, at_end.tokens) == (6, 5, found.num_tokens)
    new = [
        len(decode_greedily(loaded.model, loaded.tokenizer, ids, max_new_tokens=5))
        for ids in prompts(loaded)
    ]
    assert found.num_tokens == sum(new)
    num_run = sum(len(ids) for ids in prompts(loaded)) + sum(new) - len(new)
    reading = 3 * read_cost(loaded.model, VOCABULARY_SIZE) * sum(new) / num_run
    for saved in (found.on_plain_text, found.on_own_text):
        assert saved.layers_reading == pytest.approx(reading)
        assert saved.layers_per_token == pytest.approx(6 + reading)
        assert saved.layers_saved_share == pytest.approx(-reading / 6)
        assert saved.layer_calls_saved_share == 0.0


def test_where_all_stop_what_is_left_out_is_saved(loaded: LoadedModel) -> None:
    found = measure_token_exits(
        loaded, RoutedModel(loaded, router_of(9.0)), prompts(loaded), new_tokens=5
    )
    assert found.stopped_share == 1.0
    assert [(stops.depth, stops.layer, stops.share) for stops in found.by_depth] == [(3, 2, 1.0)]
    assert found.stopped_agreement == found.agreement == found.by_depth[0].agreement
    num_run = sum(len(ids) for ids in prompts(loaded)) + found.num_tokens - len(PROMPTS)
    crossing = share_of_layer(loaded.model) * found.num_tokens / num_run
    assert found.on_plain_text.layers_per_token == pytest.approx(3 + crossing)
    assert found.on_plain_text.layers_saved_share == pytest.approx(0.5 - crossing / 6)
    assert found.on_plain_text.layer_calls_saved_share == pytest.approx(0.5)


def test_a_given_text_is_read_as_if_every_token_before_were_the_plain_models(
    loaded: LoadedModel,
) -> None:
    model = RoutedModel(loaded, router_of(-0.9, top=9.0))
    exits = model.token_exits
    assert exits is not None
    context_ids = prompts(loaded)[0]
    given = decode_greedily(loaded.model, loaded.tokenizer, context_ids, max_new_tokens=8)
    whole = run_text(model.running, exits, context_ids, given=given)
    assert len(set(whole.depths)) > 1  # some stop, and not all at once
    assert whole.num_tokens == len(context_ids) + len(given) - 1
    for number, (depth, said) in enumerate(zip(whole.depths, whole.new_ids, strict=True)):
        alone = run_text(
            model.running, exits, (*context_ids, *given[:number]), given=given[number : number + 1]
        )
        assert (alone.depths, alone.new_ids) == ((depth,), (said,))
        if depth == NUM_LAYERS:
            assert said == given[number]
    own = run_text(model.running, exits, context_ids, num_new=8)
    answer = model.answer([PROMPTS[0]], max_new_tokens=8)[0]
    assert own.new_ids == answer.token_ids
    assert answer.work is not None
    assert own.depths == answer.work.depths
    assert own.num_layer_tokens == answer.work.num_layer_tokens
    assert own.num_layer_calls == answer.work.num_layer_calls
    assert own.num_read_layers == pytest.approx(answer.routed.num_read_layer_tokens)


def run(new_ids: tuple[int, ...], depths: tuple[int, ...]) -> TextRun:
    return TextRun(
        new_ids=new_ids,
        depths=depths,
        num_tokens=10,
        num_layer_tokens=40,
        num_layer_calls=9,
        num_read_layers=5.0,
    )


def test_figures_are_those_of_tokens_and_texts(loaded: LoadedModel) -> None:
    exits = RoutedModel(loaded, router_of(9.0, path=LayerPath((0, 1, 3, 4, 5), 6))).token_exits
    assert exits is not None
    plain = [(1, 2, 3, 4), (5, 6)]
    found = summarise(
        plain,
        forced=[run((1, 2, 9, 4), (3, 3, 4, 5)), run((5, 6), (5, 3))],
        own=[run((1, 2, 9), (3, 3, 3)), run((5, 6), (5, 5))],
        exits=exits,
        num_layers=6,
    )
    assert found.stopped_share == pytest.approx(4 / 6)
    assert found.agreement == pytest.approx(5 / 6)
    assert found.stopped_agreement == pytest.approx(3 / 4)
    assert [(s.depth, s.layer, s.tokens, s.agreement) for s in found.by_depth] == [
        (3, 3, 3, 1.0),
        (4, 4, 1, 0.0),
        (5, 5, 2, 1.0),
    ]
    assert (found.same_text_share, found.same_tokens_share) == (0.5, pytest.approx(4 / 6))
    assert found.agreement_low == pytest.approx(3 / 4)  # the first text alone, twice
    assert found.agreement_high == 1.0
    assert found.on_plain_text.layers_per_token == pytest.approx(4.5)
    assert found.on_plain_text.layers_reading == pytest.approx(0.5)
    assert found.on_plain_text.layers_saved_share == pytest.approx(0.25)
    assert found.on_plain_text.layer_calls_saved_share == pytest.approx(1 - 18 / 36)
    one = summarise(
        plain[:1], [run((1, 2, 3, 4), (5,) * 4)], [run((1, 2, 3, 4), (5,) * 4)], exits, 6
    )
    assert (one.agreement_low, one.agreement_high, one.stopped_agreement) == (None, None, None)


def test_what_stops_no_token_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="decides once per prompt, so no token stops by itself"):
        measure_token_exits(
            loaded, RoutedModel(loaded, FixedRouter(PLAIN)), prompts(loaded), new_tokens=2
        )
    with pytest.raises(ConfigError, match="there is no prompt to generate after"):
        measure_token_exits(loaded, RoutedModel(loaded, router_of(9.0)), [], new_tokens=2)


def test_the_words_say_where_and_what(loaded: LoadedModel) -> None:
    report = measure_token_exits(
        loaded, RoutedModel(loaded, router_of(9.0)), prompts(loaded), new_tokens=3
    )
    result = {
        "router": "lens-exit", "task": "fruit", "split": "test", "num_layers": 6,
        "may_have_taught": False,
        **asdict(replace(report, agreement=0.5, agreement_low=0.25, agreement_high=0.75)),
    }  # fmt: skip
    text = exits_text(result)
    assert "9 tokens: 100.0% stopped early" in text
    assert "behind layer 2 (3 layers): 9 tokens (100.0%)" in text
    assert "50.0% [25.0%, 75.0%] of all tokens are the plain model's" in text
    assert "+50.0% of the layers' calls saved" in text
    assert "may have taught" not in text
    taught = exits_text({**result, "split": "train", "may_have_taught": True})
    assert taught.startswith(text.replace("(test)", "(train)"))
    assert "split train may have taught the router: this is no test on unseen" in taught
