"""The texts of a fit of bridges: those that it learns from, and those that it is judged by."""

from dataclasses import dataclass
from pathlib import Path

from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import (
    TokenSequence,
    TokenTexts,
    texts_of_file,
    texts_of_task,
)
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.registry import get_task


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChoice:
    """How the command line names texts."""

    text: Path | None
    task: str | None
    own: bool
    """Whether the model writes them itself."""
    num_tokens: int
    judge_text: Path | None
    """Another file to judge by; ``None``: what the fit held out."""
    judge_tokens: int


def fitting_texts(
    loaded: LoadedModel, choice: TextChoice, config: SearchConfig, kept: Path
) -> TokenTexts:
    """The texts to fit to and to choose by.

    Args:
        loaded: the model.
        choice: which texts.
        config: the seed, and where data is.
        kept: a folder for what the model writes itself.

    Raises:
        ConfigError: not exactly one kind of text is named, or there is none in it.
    """
    named = [choice.text is not None, choice.task is not None, choice.own]
    if sum(named) != 1:
        raise ConfigError(
            f"{sum(named)} kinds of text are named; name one of --text FILE, --task NAME and --self"
        )
    if choice.text is not None:
        return texts_of_file(loaded, choice.text, num_tokens=choice.num_tokens)
    if choice.task is not None:
        return texts_of_task(
            loaded,
            get_task(choice.task),
            num_tokens=choice.num_tokens,
            seed=config.seed,
            data_dir=config.data_dir,
        )
    return texts_of_model(loaded, num_tokens=choice.num_tokens, seed=config.seed, kept=kept)


def judging_texts(
    loaded: LoadedModel, choice: TextChoice, fitted: TokenTexts, num_chose: int
) -> tuple[str, tuple[TokenSequence, ...]]:
    """Where the texts to judge by come from, and the texts: none that were fitted to or chose.

    Args:
        loaded: the model.
        choice: which texts.
        fitted: what `fitting_texts` gave.
        num_chose: how many of the texts that were held out chose something.

    Raises:
        ConfigError: nothing is left to judge by.
    """
    if choice.judge_text is not None:
        texts = texts_of_file(loaded, choice.judge_text, num_tokens=choice.judge_tokens)
        return texts.source, texts.sequences
    left = split_sequences(fitted.sequences).held_out[num_chose:]
    if not left:
        raise ConfigError(
            f"{fitted.num_tokens} tokens of {fitted.source} leave nothing to judge the bridges by; "
            "give more --tokens, or another file with --judge-text"
        )
    taken: list[TokenSequence] = []
    for sequence in left:
        if sum(item.num_rows for item in taken) >= choice.judge_tokens:
            break
        taken.append(sequence)
    return f"{fitted.source}, held out", tuple(taken)
