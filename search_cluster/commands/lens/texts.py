"""From what a command line names to token sequences."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.files import content_digest
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import TokenTexts, texts_of_file, texts_of_task
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task

QUESTIONS = "questions_digest"
"""What a lens' description calls the digest of a task's training questions."""


def asked_texts(config: SearchConfig, asked: LensTextConfig) -> dict[str, Any]:
    """How texts are asked for, ready for JSON, without a model.

    It decides which they are, unless they are a task's, whose file and rows may change.

    Raises:
        OSError: the file can't be read.
    """
    if asked.text is not None:
        return {"text": content_digest(asked.text), "tokens": asked.tokens}
    return {"task": asked.task, "seed": config.seed, "tokens": asked.tokens}


def questions_digest(examples: Iterable[Example]) -> str:
    """16 hex digits that are equal for equal questions, in any order and of a task of any name."""
    rows = sorted(
        json.dumps([item.question, item.choices, item.gold, item.gold_index]) for item in examples
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def taught_questions(config: SearchConfig, asked: LensTextConfig) -> dict[str, str]:
    """What the training questions of a task hold, ready for JSON; empty where no task is named.

    Raises:
        TaskError: there is no such task, or its split can't be read.
    """
    if asked.task is None:
        return {}
    loaded = get_task(asked.task).load("train", resolve_data_dir(config.data_dir))
    return {QUESTIONS: questions_digest(loaded.examples)}


def require_other_text(taught: Path | None, judged: Path | None, option: str) -> None:
    """Pass unless the text to judge by is the one that teaches, by whatever name.

    Args:
        taught: the file that teaches, if one does.
        judged: the file to judge by, if one is named.
        option: the flag that names it.

    Raises:
        ConfigError: both files hold the same.
        OSError: one can't be read.
    """
    if taught is None or judged is None:
        return
    if content_digest(taught) == content_digest(judged):
        raise ConfigError(
            f"{option} {judged} holds the same as --text {taught}, so it would judge by what "
            f"taught; name another file, or leave {option} out to judge by a part that is kept out"
        )


def has_taught(asked: Mapping[str, Any], request: object) -> bool:
    """Whether texts are of the file, the task or the model's own draw that a lens was fitted to.

    Args:
        asked: what `asked_texts` says of the texts.
        request: what the lens' description says of those that it was fitted to, if anything.
    """
    if not isinstance(request, Mapping):
        return False
    for source in ("text", "task"):
        if asked.get(source) is not None:
            return bool(asked[source] == request.get(source))
    return all(request.get(name, ()) == value for name, value in asked.items())


def named_texts(
    loaded: LoadedModel,
    config: SearchConfig,
    asked: LensTextConfig,
    *,
    kept: Path | None,
    progress: PassProgress,
) -> TokenTexts:
    """The texts.

    Args:
        loaded: the model.
        config: has the seed and the data folder.
        asked: which texts.
        kept: a folder for what the model wrote so far.
        progress: is told how far the model's own text is.

    Raises:
        SearchClusterError: the text or the task can't be used.
    """
    if asked.text is not None:
        return texts_of_file(loaded, asked.text, num_tokens=asked.tokens)
    if asked.task is not None:
        return texts_of_task(
            loaded,
            get_task(asked.task),
            num_tokens=asked.tokens,
            seed=config.seed,
            data_dir=resolve_data_dir(config.data_dir),
        )
    return texts_of_model(
        loaded,
        num_tokens=asked.tokens,
        seed=config.seed,
        kept=kept,
        progress=lambda done: progress("tokens of its own text", done, asked.tokens),
    )
