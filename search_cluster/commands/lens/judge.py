"""``search-cluster lens eval``: how well a lens reads a text."""

import logging
import time
from pathlib import Path
from typing import Any

from search_cluster.commands.lens.figures import figures_of
from search_cluster.commands.lens.fit import peak_bytes
from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.lens.texts import asked_texts, has_taught, named_texts
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


def _is_taught(lens: str, config: SearchConfig, asked: LensTextConfig) -> bool:
    """Whether the lens' description says that these texts taught it."""
    if lens == LOGIT_LENS:
        return False
    record = read_record(local_folder(Path(lens), FolderKind.LENS))
    request = {} if record is None else record.found.get("request")
    taught = request.get("texts") if isinstance(request, dict) else None
    return has_taught(asked_texts(config, asked), taught)


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
    notes = texts.notes
    if _is_taught(lens, config, asked):
        notes += (
            f"lens {lens} was fitted to {texts.source}, so its figures here flatter it; judge it "
            "on another text",
        )
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
