"""Training a router from a corpus: labels, features, training, checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from router_train.config import FitConfig
from router_train.data.feature_store import FEATURES_FOLDER
from router_train.data.labels import LabelSet, can_teach, read_labels
from router_train.data.path_table import read_table
from router_train.data.static_path import choose_static
from router_train.distributed import current_process_group
from router_train.routers.base import FitInputs
from router_train.routers.checkpoint import (
    CURVE_NAME,
    META_NAME,
    RouterInputs,
    RouterMeta,
    installed_versions,
    read_meta,
    require_weights,
    save_meta,
    save_weights,
)
from router_train.routers.registry import get_kind
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.task import task_of_corpus
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.kept import copy_kept

LoadModel = Callable[[str, str, str], LoadedModel]
"""A function that loads a model given its spec, its dtype and its chat mode, as the corpus names
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutcome:
    """A finished checkpoint."""

    meta: RouterMeta
    already_finished: bool
    """Whether the checkpoint was there before, from the same inputs."""


def fit(
    corpus_folder: Path,
    out: Path,
    config: FitConfig,
    load_model: LoadModel,
    *,
    task_spec: str | None,
    force: bool,
    check_model: bool = False,
) -> FitOutcome:
    """Train a router on a corpus and save it.

    Returns at once if ``out`` holds the router of the same inputs.

    Where several processes train together, all of them call this with the same arguments; the first
    one writes.

    Args:
        corpus_folder: a finished corpus.
        out: the checkpoint's folder.
        config: see `FitConfig`.
        load_model: how to load the model; it is called only if training needs it.
        task_spec: how to find the corpus's task if its name is not enough (a user's own file).
        force: whether to train again over whatever ``out`` holds.
        check_model: whether to load the model even if training does not need it, because the user
            named it and it may be another one.

    Raises:
        ConfigError: ``out`` holds a router of other inputs, the task changed since the search, or
            a setting was changed that the router does not read.
        TaskError: the corpus's task is not found.
        CorpusError: the corpus is unfinished, damaged, or too small.
        ModelError: the model is not the one that the corpus was searched with.
    """
    kind = get_kind(config.router)
    config.require_all_read()
    if out.exists() and not out.is_dir():
        raise ConfigError(
            f"{out} is a file; a router is a folder: name another with --out, or move the file away"
        )
    corpus = read_corpus(corpus_folder)
    provenance = corpus.manifest.provenance
    table = read_table(corpus_folder, corpus)
    inputs = RouterInputs(
        model_fingerprint=provenance.model_fingerprint,
        corpus_digest=corpus.manifest.corpus_digest,
        task=provenance.task,
        task_version=provenance.task_version,
        config=config,
        table_digest="" if table is None else table.digest,
    )
    group = current_process_group()
    is_finished = (out / META_NAME).is_file() and not force
    group.wait_for_all()  # nobody writes before all have looked
    if is_finished:
        meta = read_meta(out)
        _require_same_inputs(out, meta.inputs, inputs)
        require_weights(out, meta)
        if check_model:
            _corpus_model(corpus, load_model)
        return FitOutcome(meta=meta, already_finished=True)

    labels = read_labels(corpus, config)
    task = task_of_corpus(corpus.manifest.provenance, task_spec, corpus_folder)
    loaded = _corpus_model(corpus, load_model) if kind.needs_model or check_model else None
    if group.leads:
        (out / META_NAME).unlink(missing_ok=True)
    fitted = kind.fit(
        FitInputs(
            labels=labels,
            config=config,
            loaded=loaded,
            task=task,
            curve_file=out / CURVE_NAME,
            table=table,
            examples=tuple(record.example for record in corpus.records if can_teach(record)),
            feature_folder=out.parent / FEATURES_FOLDER,
        )
    )
    if not group.leads:
        group.wait_for_all()
        return FitOutcome(meta=read_meta(out), already_finished=False)
    meta = RouterMeta(
        inputs=inputs,
        model_spec=provenance.model_spec if loaded is None else loaded.spec,
        model_dtype=provenance.dtype,
        chat=provenance.chat,
        model_parts=dict(provenance.model_parts if loaded is None else loaded.parts),
        num_layers=provenance.num_layers,
        preset=provenance.preset,
        search_seed=provenance.seed,
        num_train=len(labels.train),
        num_validation=len(labels.validation),
        class_counts=labels.class_counts(),
        left_out=_left_out(labels),
        settings=fitted.router.settings(),
        metrics=dict(fitted.metrics),
        judged_on=fitted.judged_on,
        versions=installed_versions(),
        weights_sha256=save_weights(out, fitted.router),
        menu=() if table is None else tuple(map(str, table.paths)),
        static_path="" if table is None else str(choose_static(table, config)[0]),
    )
    copy_kept(corpus_folder, out)
    save_meta(out, meta)
    group.wait_for_all()
    return FitOutcome(meta=meta, already_finished=False)


def _corpus_model(corpus: Corpus, load_model: LoadModel) -> LoadedModel:
    provenance = corpus.manifest.provenance
    loaded = load_model(provenance.model_spec, provenance.dtype, provenance.chat or "auto")
    if not loaded.identity.is_known_as(provenance.model_fingerprint):
        differing = loaded.identity.differences(provenance.model_parts)
        raise ModelError(
            f"the corpus was searched with model {provenance.model_spec!r} ({provenance.dtype}, "
            f"fingerprint {provenance.model_fingerprint}); the loaded model {loaded.spec!r} "
            f"({loaded.dtype}) has fingerprint {loaded.fingerprint}{differing}: load that model "
            "and dtype, or search with this one"
        )
    return loaded


def _require_same_inputs(out: Path, found: RouterInputs, wanted: RouterInputs) -> None:
    differences = [
        (item.name, getattr(before, item.name), getattr(now, item.name))
        for before, now in ((found, wanted), (found.config, wanted.config))
        for item in fields(now)
        if item.name != "config" and getattr(before, item.name) != getattr(now, item.name)
    ]
    if differences:
        name, before, now = differences[0]
        raise ConfigError(
            f"{out} holds a router with {name} {before!r}, and this run has {now!r}; choose "
            "another --out, or replace it with --force"
        )


def _left_out(labels: LabelSet) -> dict[str, int]:
    return {
        "unsolved": labels.num_unsolved,
        "unchanged": labels.num_unchanged,
        "inexpressible": labels.num_inexpressible,
        "test_split": labels.num_test,
        "failed": labels.num_failed,
    }
