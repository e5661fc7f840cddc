"""A lens that is in its folder already: whose it is, and whether it is whole."""

import logging
from pathlib import Path
from typing import Any

from search_cluster.errors import ConfigError, ModelError
from search_cluster.lock import locked_run_folder
from search_cluster.model.lens.folder import WRITTEN_NAMES, LensFormat, load_lens, save_lens
from search_cluster.model.lens.record import RECORD_NAME, read_record
from search_cluster.model.loaded import LoadedModel

logger = logging.getLogger(__name__)


def require_own_folder(out: Path, kept: Path) -> None:
    """Pass unless a fit would write over what it did not write itself.

    Args:
        out: the folder that a fit is to write.
        kept: the folder in it of an unfinished fit, which writes its description last.

    Raises:
        ConfigError: it holds another tool's lens or model, or a description that can't be read.
    """
    others = [name for name in WRITTEN_NAMES if (out / name).is_file()]
    if others and read_record(out) is None and not kept.is_dir():
        raise ConfigError(
            f"{out} holds {' and '.join(others)} without {RECORD_NAME}, so another tool wrote it, "
            "and a fit would write over it; give a new folder with --out, or move it away"
        )


def finished_lens(
    out: Path,
    request: dict[str, Any],
    loaded: LoadedModel,
    *,
    kept: Path,
    format_: LensFormat,
    revision: str | None,
) -> dict[str, Any] | None:
    """What a lens that was fitted as it is asked for now came to, after a look at its files.

    One that is whole and was written in the other format is written in the one that is asked for.

    Args:
        out: its folder.
        request: how a lens is asked for.
        loaded: the model.
        kept: the folder of an unfinished fit, which is locked to write.
        format_: how its translators are to be written.
        revision: see `save_lens`.

    Returns:
        ``None`` if there is none, or a damaged one, of which a warning is logged.

    Raises:
        ConfigError: it was fitted otherwise.
        CorpusError: it can't be written.
    """
    known = read_record(out)
    if known is None:
        return None
    if _without_name(known.found.get("request")) != _without_name(request):
        raise ConfigError(
            f"{out} holds a lens that was fitted otherwise; give a new folder with --out, or "
            "remove it"
        )
    try:
        lens = load_lens(out, loaded)
    except (ConfigError, ModelError) as error:
        logger.warning("%s is damaged, so the lens is fitted again (%s)", out, error)
        return None
    if not (out / format_.file_name).is_file():
        with locked_run_folder(kept):
            save_lens(out, lens, loaded, format_=format_, revision=revision, found=known.found)
    return dict(known.found)


def _without_name(request: object) -> object:
    """A request without the name of its task, if it says what the task's prompts hold."""
    texts = request.get("texts") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(texts, dict) or "digest" not in texts:
        return request
    return {**request, "texts": {**texts, "task": None}}
