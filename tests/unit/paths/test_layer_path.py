import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import InvalidPathError
from search_cluster.paths.codec import decode_path, encode_path, parse_path
from search_cluster.paths.layer_path import LayerPath


@st.composite
def layer_paths(draw: st.DrawFn, max_layers: int = 40) -> LayerPath:
    num_layers = draw(st.integers(1, max_layers))
    layers = draw(st.lists(st.integers(0, num_layers - 1), min_size=1, max_size=2 * num_layers))
    return LayerPath(tuple(layers), num_layers)


@st.composite
def decision_vectors(draw: st.DrawFn) -> tuple[int, ...]:
    counts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=90))
    return tuple(counts) if any(counts) else (*counts[:-1], 1)


def test_identity_runs_every_layer_once() -> None:
    path = LayerPath.identity(4)
    assert path.layers == (0, 1, 2, 3)
    assert path.is_identity
    assert path.decisions() == (1, 1, 1, 1)


def test_a_shorter_path_is_not_identity() -> None:
    assert not LayerPath((0, 1, 2), 4).is_identity
    assert not LayerPath((0, 1, 3, 2), 4).is_identity


def test_an_unknown_layer_is_named_with_the_range_that_is_allowed() -> None:
    with pytest.raises(
        InvalidPathError, match=r"path \(0, 1, 99\) uses layer 99; the model has layers 0\.\.29"
    ):
        LayerPath((0, 1, 99), 30)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(InvalidPathError, match="runs at least one layer"):
        LayerPath((), 4)


def test_a_reordered_path_has_no_decisions() -> None:
    with pytest.raises(InvalidPathError, match="re-orders layers"):
        LayerPath((1, 0), 2).decisions()


def test_text_form_joins_runs() -> None:
    assert str(LayerPath((0, 1, 2, 4, 5, 5, 9), 10)) == "0-2,4-5,5,9"


@pytest.mark.parametrize("text", ["", "a", "3-1", "0-10", "0,,1", "-1", "0-", "²"])
def test_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidPathError):
        parse_path(text, 10)


@given(decision_vectors())
def test_decisions_round_trip(decisions: tuple[int, ...]) -> None:
    assert LayerPath.from_decisions(decisions).decisions() == decisions


@given(layer_paths())
def test_bytes_and_text_round_trip(path: LayerPath) -> None:
    assert decode_path(encode_path(path), path.num_layers) == path
    assert parse_path(str(path), path.num_layers) == path


def test_deep_models_round_trip() -> None:
    path = LayerPath((299, 0, 256, 1), 300)
    assert decode_path(encode_path(path), 300) == path


def test_order_keeping_paths_fit_the_compact_hash_encoding() -> None:
    assert len(encode_path(LayerPath.identity(30))) == 9
    assert len(encode_path(LayerPath.from_decisions((2,) * 126))) <= 64


@given(st.binary(max_size=80), st.integers(1, 40))
def test_bytes_that_are_no_path_are_refused_or_canonical(data: bytes, num_layers: int) -> None:
    try:
        path = decode_path(data, num_layers)
    except InvalidPathError:
        return
    assert encode_path(path) == data
