"""The texts of a fit of bridges: those that it learns from, and those that it is judged by."""

from dataclasses import dataclass
from pathlib import Path

from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.lens.texts import named_texts
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.model.bridge.fitting import choosing_texts
from search_cluster.model.lens.fitting.held_out import HELD_OUT_EVERY, split_sequences
from search_cluster.model.lens.texts import (
    TokenSequence,
    TokenTexts,
    by_context,
    first_sequences,
    texts_of_file,
)
from search_cluster.model.loaded import LoadedModel


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
    loaded: LoadedModel,
    choice: TextChoice,
    config: SearchConfig,
    *,
    kept: Path,
    progress: PassProgress,
) -> TokenTexts:
    """The texts to fit to and to choose by.

    Args:
        loaded: the model.
        choice: which texts.
        config: the seed, and where data is.
        kept: a folder for what the model writes itself.
        progress: is told how far that is.

    Raises:
        ConfigError: not exactly one kind of text is named, or there is none in it.
    """
    named = [choice.text is not None, choice.task is not None, choice.own]
    if sum(named) != 1:
        raise ConfigError(
            f"{sum(named)} kinds of text are named; name one of --text FILE, --task NAME and --self"
        )
    asked = LensTextConfig(
        text=choice.text, task=choice.task, self_=choice.own, tokens=choice.num_tokens
    )
    return named_texts(loaded, config, asked, kept=kept, progress=progress)


def judging_texts(
    loaded: LoadedModel, choice: TextChoice, fitted: TokenTexts
) -> tuple[str, tuple[TokenSequence, ...]]:
    """Where the texts to judge by come from, and the texts: none that is fitted to or chooses.

    Args:
        loaded: the model.
        choice: which texts.
        fitted: what `fitting_texts` gave.

    Raises:
        ConfigError: nothing is left to judge by.
    """
    if choice.judge_text is not None:
        texts = texts_of_file(loaded, choice.judge_text, num_tokens=choice.judge_tokens)
        return texts.source, first_sequences(texts.sequences, choice.judge_tokens)
    held_out = split_sequences(fitted.sequences).held_out
    left = held_out[len(choosing_texts(held_out)) :]
    if not left:
        groups = by_context(fitted.sequences)
        needed = max(2, len(groups) // HELD_OUT_EVERY + 1) * HELD_OUT_EVERY
        longest = max(sum(item.num_rows for item in group) for group in groups)
        raise ConfigError(
            f"{fitted.num_tokens} tokens of {fitted.source} are {len(groups)} texts, which leave "
            f"nothing to judge the bridges by; give at least {needed} texts (about --tokens "
            f"{needed * longest}), or another file with --judge-text"
        )
    return f"{fitted.source}, held out", first_sequences(left, choice.judge_tokens)
