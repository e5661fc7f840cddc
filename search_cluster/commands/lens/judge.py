"""``search-cluster lens eval``: how well a lens reads a text."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_cluster.commands.lens.figures import figures_of
from search_cluster.commands.lens.fit import peak_bytes
from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.lens.texts import (
    QUESTIONS,
    asked_texts,
    has_taught,
    named_texts,
    taught_questions,
)
from search_cluster.commands.model import load_configured
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.lens.folder import lens_digest, load_lens
from search_cluster.model.lens.judged import judge_lens
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.record import read_record
from search_cluster.model.loaded import LoadedModel

LOGIT_LENS = "logit"
"""What ``--lens`` says for the lens without translators."""
logger = logging.getLogger(__name__)


def named_lens(name: str, loaded: LoadedModel) -> Lens:
    """The lens of a folder, or the logit lens.

    Raises:
        ConfigError: there is no lens.
        ModelError: it belongs to another model.
    """
    return Lens.logit(loaded.model) if name == LOGIT_LENS else load_lens(Path(name), loaded)


def taught_notes(lens: str, judged: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A warning for each of some texts that taught a lens, as far as its description says.

    Args:
        lens: as for `named_lens`.
        judged: the texts that it reads: for each source (`TokenTexts.source`) what `asked_texts`
            and `taught_questions` say of it.
    """
    record = None
    if lens != LOGIT_LENS:
        record = read_record(local_folder(Path(lens), FolderKind.LENS))
    if record is None:
        return ()
    notes = (_taught_note(source, asked, record.found) for source, asked in judged.items())
    return tuple(f"lens {lens} was fitted to {note}" for note in notes if note)


def _taught_note(source: str, asked: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What is said of a text that taught; empty if it did not."""
    request = found.get("request")
    # A task is known by its name, too, however it was named.
    is_named = has_taught(asked, request.get("texts") if isinstance(request, dict) else None) or (
        asked.get("task") is not None and found.get("texts") == source
    )
    own, taught = asked.get(QUESTIONS), found.get(QUESTIONS)
    is_equal = is_named if own is None or taught is None else own == taught
    if is_equal:
        return f"{source}, so its figures here flatter it; judge it on another text"
    if is_named:
        return (
            f"other questions of {source}; if these are some of them, its figures here flatter it"
        )
    return ""


def judge(
    config: SearchConfig, asked: LensTextConfig, *, lens: str, one_off: bool
) -> dict[str, Any]:
    """Judge a lens on texts; what ``--json`` reports.

    Raises:
        SearchClusterError: model, lens or texts can't be used.
    """
    started_s = time.perf_counter()
    loaded = load_configured(config)
    named = named_lens(lens, loaded)
    progress = PassProgress("lens")
    texts = named_texts(loaded, config, asked, kept=None, progress=progress)
    read = {texts.source: asked_texts(config, asked) | taught_questions(config, asked)}
    notes = texts.notes + taught_notes(lens, read)
    for note in notes:
        logger.warning("%s", note)
    judged = judge_lens(
        loaded.model,
        named,
        texts.sequences,
        one_off=one_off,
        progress=lambda done: progress("texts", done, len(texts.sequences)),
    )
    return {
        "lens": lens,
        "digest": None if lens == LOGIT_LENS else lens_digest(named),
        "kind": named.kind.value,
        "model": loaded.spec,
        "texts": texts.source,
        "texts_digest": texts.digest,
        "tokens": texts.num_tokens,
        **figures_of(judged),
        "notes": list(notes),
        "seconds": time.perf_counter() - started_s,
        "peak_bytes": peak_bytes(),
    }
