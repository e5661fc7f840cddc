"""Plain text as tokens: with the BOS that the tokenizer puts in front, without a chat template."""

from search_cluster.errors import ModelError, PromptTooLongError
from search_cluster.model.data_text import encode_marked, leading_ids, mark_data
from search_cluster.model.loaded import LoadedModel


def plain_ids(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    """The tokens of a text; control tokens in it are text.

    Raises:
        PromptTooLongError: they do not fit into the context window.
    """
    ids = encode_marked(loaded.tokenizer, mark_data(loaded.tokenizer, text))
    if not fits_window(loaded, len(ids)):
        raise PromptTooLongError(
            f"a text of {len(ids)} tokens; the model's context window is {_window(loaded)}: leave "
            "it out"
        )
    return (*leading_ids(loaded.tokenizer), *ids)


def fits_window(loaded: LoadedModel, num_ids: int) -> bool:
    """Whether a text of so many tokens, and a BOS, fit into the context window."""
    window = _window(loaded)
    return window is None or num_ids < window


def _window(loaded: LoadedModel) -> int | None:
    return getattr(loaded.model.config, "max_position_embeddings", None)


def token_offsets(loaded: LoadedModel, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """The tokens of a text, without BOS, and the characters ``[begin, end)`` of each.

    Raises:
        ModelError: the tokenizer does not say which characters its tokens are of.
    """
    if not loaded.tokenizer.is_fast:
        raise ModelError(
            "the tokenizer does not say which characters its tokens are of; word classes need a "
            "fast tokenizer (tokenizer.json)"
        )
    encoded = loaded.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return tuple(encoded.input_ids), [(begin, end) for begin, end in encoded.offset_mapping]
