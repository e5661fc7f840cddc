"""Whether a tokenizer fits its model: it has a vocabulary, and the model knows its ids.

Transformers makes an empty tokenizer out of a folder whose vocabulary is missing, and says nothing.
"""

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search_cluster.errors import ModelError, in_one_line
from search_cluster.model.anatomy import num_embeddings
from search_cluster.model.chat_style import PROBE


def require_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str
) -> list[str]:
    """Pass if the tokenizer has more than control tokens.

    Args:
        model: the model as it was loaded.
        tokenizer: its tokenizer.
        source: the folder or file, for messages.

    Returns:
        A line for the user if the tokenizer has tokens that the model has no embedding for.

    Raises:
        ModelError: the tokenizer fails on a text, the vocabulary is missing, or no ordinary token
            of it has an embedding.
    """
    _require_working(tokenizer, source)
    vocabulary = tokenizer.get_vocab()
    ordinary = set(vocabulary.values()) - set(tokenizer.added_tokens_decoder)
    if not ordinary:
        raise ModelError(
            f"the tokenizer of {source} has no vocabulary ({len(vocabulary)} tokens, each of them "
            "added): its tokenizer.json, or the files that it is made from, are missing; download "
            "or save the tokenizer again"
        )
    num_known = num_embeddings(model)
    beyond = sorted((index, token) for token, index in vocabulary.items() if index >= num_known)
    if not beyond:
        return []
    index, token = beyond[0]
    if min(ordinary) >= num_known or len(beyond) > len(vocabulary) // 2:
        raise ModelError(
            f"the tokenizer of {source} is of another model: {len(beyond)} of its "
            f"{len(vocabulary)} tokens have no embedding (the model has {num_known}); take the "
            "tokenizer that the model was trained with"
        )
    return [
        f"{source}: {len(beyond)} token{'s' if len(beyond) > 1 else ''} of the tokenizer have no "
        f"embedding in the model, {token!r} ({index}) first of them, and the model has "
        f"{num_known}; a prompt that needs one fails: take the model's own tokenizer, or resize "
        "its embeddings and train them"
    ]


def _require_working(tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Pass if a short text becomes tokens and text again, whatever the files say."""
    try:
        ids = tokenizer(PROBE, add_special_tokens=False, verbose=False).input_ids
        tokenizer.decode(ids, skip_special_tokens=True)
    except Exception as error:  # a wrong setting of a file fails where it is used
        raise ModelError(
            f"the tokenizer of {source} fails on a text ({type(error).__name__}: "
            f"{in_one_line(error)}); its settings are damaged: download or save it again"
        ) from error
