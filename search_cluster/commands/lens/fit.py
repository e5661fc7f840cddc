"""``search-cluster lens fit``: translators from texts, judged on held-out ones."""

import logging
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_cluster.commands.lens.figures import figures_of
from search_cluster.commands.lens.finished import finished_lens, require_own_folder
from search_cluster.commands.lens.settings import LensFitConfig, LensTextConfig
from search_cluster.commands.lens.texts import (
    asked_texts,
    named_texts,
    require_other_text,
    taught_questions,
)
from search_cluster.commands.model import load_configured
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.lock import locked_run_folder
from search_cluster.model.data_text import encode_marked, mark_data
from search_cluster.model.lens.fitting.descent import DescentSettings
from search_cluster.model.lens.fitting.fit import FitSettings, fit_lens
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.weights import TokenWeights, WeighedBy
from search_cluster.model.lens.folder import LensFormat, lens_digest, save_lens
from search_cluster.model.lens.judged import judge_lens
from search_cluster.model.lens.lens import LensKind
from search_cluster.model.lens.texts import TokenTexts, first_sequences, texts_of_file
from search_cluster.model.loaded import LoadedModel

UNFINISHED = ".unfinished"
"""The folder in a lens' folder that holds what a fit has so far."""
logger = logging.getLogger(__name__)


def fit(
    config: SearchConfig,
    asked: LensTextConfig,
    settings: LensFitConfig,
    *,
    down_weight: Sequence[str],
    out: Path,
) -> dict[str, Any]:
    """Fit a lens, judge it, and write it; what ``--json`` reports.

    A lens that is there whole and was asked for alike is not fitted again.

    Raises:
        SearchClusterError: model, texts or settings can't be used, or the folder holds something
            else.
        KeyboardInterrupt: what is done is kept, and the same call goes on from there.
    """
    started_s = time.perf_counter()
    kind = _choice(LensKind, settings.kind, "kind", without=(LensKind.LOGIT,))
    format_ = _choice(LensFormat, settings.format, "format")
    by = _choice(WeighedBy, settings.weigh_by, "weigh_by")
    require_other_text(asked.text, settings.held_out, "--held-out")
    kept = out / UNFINISHED
    require_own_folder(out, kept)
    loaded = load_configured(config)
    progress = PassProgress("lens")
    prompts = None
    if asked.task is not None:
        prompts = named_texts(loaded, config, asked, kept=None, progress=progress)
    weights = TokenWeights(by_token=_token_weights(loaded, down_weight), by=by)
    fit_settings = FitSettings(
        kind=kind,
        weights=weights,
        descent=DescentSettings(num_epochs=settings.epochs, rate=settings.rate, seed=config.seed),
        most_descent_rows=settings.descent_rows,
    )
    request = {
        "model": loaded.fingerprint,
        "texts": asked_texts(config, asked)
        | ({} if prompts is None else {"digest": prompts.digest}),
        "held_out": None
        if settings.held_out is None
        else asked_texts(config, LensTextConfig(text=settings.held_out)),
        "held_out_tokens": settings.held_out_tokens,
        "fit": replace_texts(fit_settings, loaded),
    }
    found = finished_lens(
        out, request, loaded, kept=kept, format_=format_, revision=config.revision
    )
    if found is not None:
        return _said(found, out=out, started_s=started_s)
    with ExitStack() as stack:
        stack.enter_context(locked_run_folder(kept))
        texts = prompts or named_texts(loaded, config, asked, kept=kept, progress=progress)
        texts_s = time.perf_counter() - started_s
        for note in texts.notes:
            logger.warning("%s", note)
        judged_on, texts = _held_out(loaded, settings, texts)
        fitted = fit_lens(loaded, texts, fit_settings, kept=kept, progress=progress)
        fitted_s = time.perf_counter() - started_s
        judged = judge_lens(
            loaded.model,
            fitted.lens,
            judged_on.sequences,
            progress=lambda done: progress("held-out texts", done, len(judged_on.sequences)),
        )
        found = {
            "digest": lens_digest(fitted.lens),
            "kind": kind.value,
            "model": loaded.spec,
            "texts": texts.source,
            "texts_digest": texts.digest,
            **taught_questions(config, asked),
            "tokens": texts.num_tokens,
            **fitted.found,
            "held_out": judged_on.source,
            **figures_of(judged),
            "notes": list(texts.notes),
            "request": request,
        }
        save_lens(out, fitted.lens, loaded, format_=format_, revision=config.revision, found=found)
        shutil.rmtree(kept)
    return _said(found, out=out, started_s=started_s, fitted_s=fitted_s, texts_s=texts_s)


def _said(
    found: Mapping[str, Any],
    *,
    out: Path,
    started_s: float,
    fitted_s: float = 0.0,
    texts_s: float = 0.0,
) -> dict[str, Any]:
    """What ``--json`` says of a lens."""
    return {
        **{name: value for name, value in found.items() if name != "request"},
        "out": str(out),
        "seconds": fitted_s,
        "seconds_texts": texts_s,
        "seconds_all": time.perf_counter() - started_s,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """The most memory that this process had at a time."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def replace_texts(settings: FitSettings, loaded: LoadedModel) -> dict[str, Any]:
    """The inputs of a fit but for the texts, which are named in another way."""
    inputs = settings.inputs(loaded, TokenTexts(source="", sequences=()))
    return {name: value for name, value in inputs.items() if name not in ("texts", "model")}


def _held_out(
    loaded: LoadedModel, settings: LensFitConfig, texts: TokenTexts
) -> tuple[TokenTexts, TokenTexts]:
    """The texts to judge on, and those that are left to fit to."""
    num_tokens = settings.held_out_tokens
    if settings.held_out is not None:
        judged = texts_of_file(loaded, settings.held_out, num_tokens=num_tokens)
        return replace(judged, sequences=first_sequences(judged.sequences, num_tokens)), texts
    split = split_sequences(texts.sequences)
    return (
        TokenTexts(
            source=f"a tenth of {texts.source}",
            sequences=first_sequences(split.held_out, num_tokens),
        ),
        replace(texts, sequences=split.fitted),
    )


def _token_weights(loaded: LoadedModel, items: Sequence[str]) -> dict[int, float]:
    """The weights that ``TOKEN=FACTOR`` name."""
    weights: dict[int, float] = {}
    for item in items:
        text, sign, factor = item.rpartition("=")
        try:
            value = float(factor)
        except ValueError:
            sign = ""
        if not sign or not text or not value >= 0:
            raise ConfigError(
                f"--down-weight is {item!r}; it is TOKEN=FACTOR with a factor of at least 0, such "
                "as ' the=0.001'"
            )
        ids = encode_marked(loaded.tokenizer, mark_data(loaded.tokenizer, text))
        if len(ids) != 1:
            raise ConfigError(
                f"--down-weight names {text!r}, which is {len(ids)} tokens of this model; name one "
                "token, with the space in front of it if it has one"
            )
        weights[ids[0]] = value
    return weights


def _choice(kinds: Any, value: str, name: str, without: Sequence[Any] = ()) -> Any:
    allowed = [kind.value for kind in kinds if kind not in without]
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; it is one of {', '.join(allowed)}")
    return kinds(value)
