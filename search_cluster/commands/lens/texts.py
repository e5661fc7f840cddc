"""From what a command line names to token sequences."""

from pathlib import Path
from typing import Any

from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.files import content_digest
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import TokenTexts, texts_of_file, texts_of_task
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.registry import get_task


def asked_texts(config: SearchConfig, asked: LensTextConfig) -> dict[str, Any]:
    """What decides which texts these are, ready for JSON, without a model.

    Raises:
        OSError: the file can't be read.
    """
    if asked.text is not None:
        return {"text": content_digest(asked.text), "tokens": asked.tokens}
    return {"task": asked.task, "seed": config.seed, "tokens": asked.tokens}


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
