"""A tiny model that writes letters of choices as tokens of their own, as real tokenizers do."""

from pathlib import Path

from support.tiny import VOCAB_SIZE, tiny_model, tiny_tokenizer
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from search_cluster.model.depth_states.option_probes import LETTERS
from search_cluster.model.loaded import LoadedModel


def lettered_tokenizer() -> PreTrainedTokenizerFast:
    """The tiny tokenizer with the letters A to P, each behind a space."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(f" {letter}", single_word=True) for letter in LETTERS])
    return tokenizer


def loaded_lettered(seed: int = 0) -> LoadedModel:
    """The model as the product loads it; its fingerprint is made up."""
    model = tiny_model(seed=seed, vocab_size=VOCAB_SIZE + len(LETTERS))
    return LoadedModel(
        model=model,
        tokenizer=lettered_tokenizer(),
        spec="lettered",
        fingerprint=f"lettered-{seed}",
        num_layers=len(model.model.layers),
        chat=False,
        device="cpu",
        dtype="float32",
    )


def save_lettered_model(folder: Path, seed: int = 0) -> Path:
    """The model as a folder."""
    tiny_model(seed=seed, vocab_size=VOCAB_SIZE + len(LETTERS)).save_pretrained(folder)
    lettered_tokenizer().save_pretrained(folder)
    return folder
