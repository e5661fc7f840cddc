"""What an export warns of, and of what it does not."""

import pytest

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.traps import ModelFacts, SpecFormat, traps_of

SKIP = LayerPath((0, 1, 2, 3, 5), 6)
REPEAT = LayerPath((0, 1, 2, 1, 2, 3, 4, 5), 6)
LIKE = ModelFacts(layer_kinds=("full_attention",) * 6, lists_layer_types=False)
LISTED = ModelFacts(layer_kinds=("full_attention",) * 6, lists_layer_types=True)
PERIODIC = ModelFacts(layer_kinds=("sliding", "sliding", "full") * 2, lists_layer_types=True)
BY_POSITION = (SpecFormat.MERGEKIT, SpecFormat.GGUF_PATH, SpecFormat.PRUNE_LAYERS)


def traps(spec_format: SpecFormat, path: LayerPath, facts: ModelFacts | None) -> str:
    found = traps_of(spec_format, path, facts)
    assert "draft models" in found[-1]
    assert all("\n" not in trap and not trap.endswith(".") for trap in found)
    return "\n".join(found[:-1])


@pytest.mark.parametrize("spec_format", SpecFormat)
def test_a_skip_of_layers_that_are_alike_needs_no_warning(spec_format: SpecFormat) -> None:
    assert traps(spec_format, SKIP, LIKE) == ""


@pytest.mark.parametrize("spec_format", SpecFormat)
def test_repeats_cost_memory_or_places_in_the_cache(spec_format: SpecFormat) -> None:
    if spec_format is SpecFormat.PRUNE_LAYERS:
        return
    text = traps(spec_format, REPEAT, LIKE)
    assert "the KV cache holds 8 layers instead of 6" in text
    assert "2 repeated runs" in text
    as_long = LayerPath((0, 1, 1, 3, 4, 5), 6)
    assert "the KV cache holds" not in traps(spec_format, as_long, LIKE)
    shares = spec_format in (SpecFormat.RYS, SpecFormat.LAYERS)
    assert ("a loader that shares it" in text) == shares
    assert ("copies of weights" in text) != shares
    assert ("--clone-tensors" in text) == (spec_format is SpecFormat.MERGEKIT)


def test_layer_types_break_a_merge_and_nothing_else() -> None:
    assert "as the model's configuration lists layer_types" in traps(
        SpecFormat.MERGEKIT, SKIP, LISTED
    )
    as_long = LayerPath((0, 1, 1, 3, 4, 5), 6)
    assert "layer_types" not in traps(SpecFormat.MERGEKIT, as_long, LISTED)
    assert traps(SpecFormat.GGUF_PATH, SKIP, LISTED) == ""
    assert "layer_types" not in traps(SpecFormat.HF, SKIP, PERIODIC)


def test_a_checkpoint_may_lose_the_kinds_of_layers_in_a_conversion() -> None:
    text = traps(SpecFormat.HF, SKIP, PERIODIC)
    assert "converted for llama.cpp it may lose that" in text
    assert "layer 5 (full) gets to position 4" in text
    assert "take --format hf" not in text
    assert traps(SpecFormat.HF, LayerPath((3, 4, 5), 6), PERIODIC) == ""


@pytest.mark.parametrize("spec_format", BY_POSITION)
def test_layers_that_differ_by_position_allow_whole_periods_only(spec_format: SpecFormat) -> None:
    text = traps(spec_format, SKIP, PERIODIC)
    assert "layer 5 (full) gets to position 4, where such tools run sliding" in text
    assert "(whole periods of 3 layers may be left out or repeated)" in text
    whole = LayerPath((0, 1, 2, 3, 4, 5, 3, 4, 5), 6)
    for path in (LayerPath((3, 4, 5), 6), LayerPath((0, 1, 2), 6), whole):
        assert "differ by position" not in traps(spec_format, path, PERIODIC)
    first_four = ModelFacts(layer_kinds=("full",) * 4 + ("sliding",) * 2, lists_layer_types=True)
    text = traps(spec_format, LayerPath((0, 1, 2, 4, 5), 6), first_four)
    assert "layer 4 (sliding) gets to position 3" in text
    assert "whole periods" not in text
    assert "differ by position" not in traps(spec_format, LayerPath((0, 1, 2, 3, 4), 6), first_four)


@pytest.mark.parametrize("spec_format", BY_POSITION)
def test_a_model_that_is_not_at_hand_is_warned_of_in_general(spec_format: SpecFormat) -> None:
    assert "configuration is not at hand" in traps(spec_format, SKIP, None)
    assert traps(SpecFormat.RYS, SKIP, None) == ""
