"""Where a corpus or a path table comes from: all that its verdicts depend on."""

import importlib.metadata
import platform
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from search_cluster.cache.keys import VerdictContext
from search_cluster.config import SearchConfig
from search_cluster.corpus.coverage import PICKED_BY, MenuChoice
from search_cluster.corpus.manifest import OWN_PACKAGE, Provenance
from search_cluster.corpus.path_table import PathTableProvenance
from search_cluster.corpus.reader import Corpus
from search_cluster.driver.pools import former_contexts, verdict_context
from search_cluster.errors import ConfigError
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tree.settings import SearchPreset

if TYPE_CHECKING:
    from search_cluster.workers.messages import WorkerInfo

PACKAGES = ("search-cluster", "torch", "transformers")
"""The packages whose versions are recorded, beside Python's."""
FORMER_TIE_THRESHOLD = 5e-4
"""The gap up to which versions 0.1 and 0.2 recomputed verdicts in float32."""


def provenance_of(
    config: SearchConfig,
    task: Task,
    preset: SearchPreset,
    info: "WorkerInfo",
    context: VerdictContext,
    started: datetime,
    study: str = "",
    depth_prior: str = "",
) -> Provenance:
    """What a search that starts now, or goes on in a context of a former version, records.

    ``study`` is the digest of the scan that takes the place of its study, ``depth_prior`` that of
    what its study knows of layers.
    """
    is_former = context.model_fingerprint != info.model_fingerprint
    chat = "" if is_former else "always" if info.chat else "never"
    return Provenance(
        model_spec=config.model_spec,
        chat=chat,
        model_fingerprint=context.model_fingerprint,
        model_parts=dict(info.model.parts),
        num_layers=info.num_layers,
        dtype=info.dtype,
        task=task.name,
        task_version=task.version,
        split=config.split,
        preset=preset.name,
        seed=config.seed,
        budget=preset.budget,
        leaves_per_round=preset.leaves_per_round,
        visit_total=config.visit_total,
        exploration=config.exploration,
        evidence="" if preset.evidence is None else preset.evidence.describe(),
        study=study,
        depth_prior=depth_prior,
        limit=config.limit,
        tie_threshold=info.tie_threshold,
        arithmetic=context.arithmetic,
        verdict_context=context.namespace,
        bridge_jumps=tuple(str(jump) for jump in sorted(info.costs.bridged)),
        bridge_layers=info.costs.share if info.costs.bridged else 0.0,
        versions=installed_versions(),
        created_at=started.isoformat(),
    )


def tie_threshold_of_run(begun: Provenance | None) -> float | None:
    """The gap up to which workers must recompute verdicts, so that they fit those of a run.

    ``None`` stands for what their arithmetic needs. Former versions recomputed in every case, and
    what they began in float32 goes on so.

    Raises:
        ConfigError: a former version began the run in a 16-bit dtype, in which logits were rounded.
    """
    if begun is None:
        return None
    if begun.tie_threshold is not None:
        return begun.tie_threshold or None
    if begun.dtype != "float32":
        raise ConfigError(
            f"the run was begun by search-cluster {begun.versions.get(OWN_PACKAGE)} in "
            f"{begun.dtype}, in which this version computes otherwise (float32 logits, no "
            "rounding that depends on the batch); search again in a new folder"
        )
    return FORMER_TIE_THRESHOLD


def context_of_run(
    task: Task, info: "WorkerInfo", begun: Provenance | None, examples: Sequence[Example]
) -> VerdictContext:
    """What verdicts depend on: of today, or of the former version that began the run.

    A run that a former version began goes on in that version's context, so that its records and its
    cache stay of use, if that version asked its questions as this one does.

    Raises:
        ConfigError: it did not.
    """
    today = verdict_context(task, info)
    if begun is None or begun.verdict_context in ("", today.namespace):
        return today
    for former in former_contexts(task, info):
        if former.namespace == begun.verdict_context:
            _require_asked_alike(examples, begun)
            return former
    return today


_MARKUP = re.compile(r"<\S+>|\[/?[A-Z_]+\]|[◁▷｜]")
"""What a control token may look like. The tokenizer knows better, but it is not at hand here."""


def _require_asked_alike(examples: Sequence[Example], begun: Provenance) -> None:
    for example in examples:
        if _MARKUP.search("\n".join((example.question, *example.choices))):
            raise ConfigError(
                f"the run was begun by search-cluster {begun.versions.get(OWN_PACKAGE)}, which "
                "took text from data for control tokens where it looks like them, as in "
                f"{example.question[:60]!r}; search again in a new folder"
            )


def path_table_provenance(
    corpus: Corpus, choices: Sequence[MenuChoice], *, menu_size: int, limit: int | None
) -> PathTableProvenance:
    """What a table of a menu records of its corpus and of the choice of its paths."""
    return PathTableProvenance(
        corpus=corpus.manifest.provenance,
        corpus_digest=corpus.manifest.corpus_digest,
        menu_size=menu_size,
        limit=limit,
        picked_by=PICKED_BY,
        credible=bool(corpus.manifest.provenance.evidence),
        paths=tuple(str(choice.path) for choice in choices),
        versions=installed_versions(),
    )


def require_same_context(provenance: Provenance, context: VerdictContext, run: Path) -> None:
    """Pass if verdicts computed now may stand beside those of the corpus.

    Raises:
        ConfigError: they may not.
    """
    if provenance.arithmetic != context.arithmetic:
        raise ConfigError(
            f"verdicts of {run} were computed by {provenance.arithmetic}, this machine has "
            f"{context.arithmetic}, which rounds differently; run it on such a machine, or search "
            "again in a new folder"
        )
    if provenance.verdict_context != context.namespace:
        raise ConfigError(
            f"verdicts of {run} have the context {provenance.verdict_context or 'unknown'}, this "
            f"program's have {context.namespace}: prompting, scoring or decoding differ; install "
            f"the version that searched it (versions: {provenance.versions}), or search again in a "
            "new folder"
        )


def installed_versions() -> dict[str, str]:
    """The versions that a verdict may depend on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return versions | {"python": platform.python_version()}
