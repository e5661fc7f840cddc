"""Text that a model writes by itself: what a lens is fitted to where no text is at hand.

Tokens are drawn at temperature 1 from the whole distribution, so that the text is the model's own.
It begins with the BOS or, in every second batch of a chat model, where the template would show a
user's message, so that the model writes both question and answer.

Shapes: B sequences, V vocabulary.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from search_cluster.errors import ModelError
from search_cluster.files import replaced_whole
from search_cluster.model.chat_style import PROBE, chat_style, render_message
from search_cluster.model.data_text import encode_marked
from search_cluster.model.decoding import end_ids, require_finite
from search_cluster.model.head import float32_logits
from search_cluster.model.lens.texts import TokenTexts, texts_of_ids
from search_cluster.model.loaded import LoadedModel

SAMPLED_LENGTH = 256
"""The tokens of a sequence."""
SEQUENCES_PER_BATCH = 64
"""The sequences that are written side by side."""


class _BatchKey(NamedTuple):
    """All that the text of a batch depends on."""

    fingerprint: str
    seed: int
    batch: int
    size: int
    length: int
    start: tuple[int, ...]


def texts_of_model(
    loaded: LoadedModel,
    *,
    num_tokens: int,
    seed: int = 0,
    length: int = SAMPLED_LENGTH,
    kept: Path | None = None,
    progress: Callable[[int], None] = lambda num_tokens: None,
) -> TokenTexts:
    """Text of the model's own, the same for the same seed.

    Args:
        loaded: the model.
        num_tokens: the number of tokens at most; whole sequences are written.
        seed: draws the tokens.
        length: the number of tokens of a sequence, if so many are wanted.
        kept: a folder in which finished batches are kept, so that another call goes on from there.
        progress: is told the number of tokens so far.

    Raises:
        ModelError: there is no token to begin with.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    starts = _starts(loaded)
    length = min(length, num_tokens)
    num_sequences = num_tokens // length
    ids: list[list[int]] = []
    batch = 0
    while len(ids) < num_sequences:
        size = min(SEQUENCES_PER_BATCH, num_sequences - len(ids))
        start = starts[batch % len(starts)]
        key = _BatchKey(loaded.fingerprint, seed, batch, size, length, start)
        ids += _remembered(loaded, kept, key).tolist()
        batch += 1
        progress(len(ids) * length)
    return texts_of_ids(f"self, seed {seed}", ids)


def _starts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    tokenizer = loaded.tokenizer
    ends = sorted(end_ids(loaded.model, tokenizer))
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else next(iter(ends), None)
    starts: list[tuple[int, ...]] = [] if first is None else [(int(first),)]
    if loaded.chat:
        style = chat_style(tokenizer)
        before, found, _ = render_message(tokenizer, style, PROBE).partition(PROBE)
        if found and before:
            starts.append(encode_marked(tokenizer, before))
    if not starts:
        raise ModelError(
            f"model {loaded.spec!r} has neither a BOS nor an end token nor a chat template to "
            "begin a text with; give a text with --text"
        )
    return starts


def _remembered(loaded: LoadedModel, kept: Path | None, key: _BatchKey) -> NDArray[np.int32]:
    if kept is None:
        return _written(loaded, key)
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path = kept / f"self-{name}.npy"
    if path.is_file():
        known: NDArray[np.int32] = np.load(path, allow_pickle=False)
        return known
    written = _written(loaded, key)
    with replaced_whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, written, allow_pickle=False)
    return written


@torch.inference_mode()
def _written(loaded: LoadedModel, key: _BatchKey) -> NDArray[np.int32]:
    """The token ids ``[B, length]`` of one batch."""
    model = loaded.model
    rng = np.random.default_rng([key.seed, key.batch])
    ids_BT = torch.tensor(key.start, device=model.device).repeat(key.size, 1)[:, : key.length]
    cache = DynamicCache(config=model.config)
    fed_BT = ids_BT
    while ids_BT.shape[1] < key.length:
        final_BTD = model.model(fed_BT, past_key_values=cache, use_cache=True).last_hidden_state
        logits_BV = float32_logits(model, final_BTD[:, -1:])[:, -1]
        require_finite(logits_BV)
        # Float64: sums of many small parts decide which token a draw falls on.
        sums_BV = logits_BV.double().softmax(dim=-1).cumsum(dim=-1)
        draws_B1 = torch.from_numpy(rng.random((key.size, 1))).to(sums_BV.device) * sums_BV[:, -1:]
        fed_BT = torch.searchsorted(sums_BV, draws_B1, right=True)
        fed_BT = fed_BT.clamp(max=sums_BV.shape[1] - 1)
        ids_BT = torch.cat([ids_BT, fed_BT], dim=1)
    ids: NDArray[np.int32] = ids_BT.cpu().numpy().astype(np.int32)
    return ids
