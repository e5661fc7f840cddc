"""Model cards of exported routers: what it is, how to load it, what was measured, its origin."""

from collections.abc import Sequence

from router_train.data.labels import HELD_OUT_SPLIT
from router_train.export.evaluations import CardEvaluation
from router_train.routers.checkpoint import RouterMeta, installed_versions
from search_cluster.model.portable.base import CardBase
from search_cluster.model.portable.card import (
    base_facts,
    named_versions,
    plain_use,
    plain_what,
    quoted,
    render_export_card,
)
from search_cluster.model.portable.checkpoint import WrittenCheckpoint

_ROUTED_USE = """\
```python
import router_train.auto  # registers the model type; pip install search-cluster
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({location})
tokenizer = AutoTokenizer.from_pretrained({location}, padding_side="left")
```

No code is loaded from this folder. It needs the transformers of search-cluster (5.20 or newer).
{base}"""


def routed_card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    location: str,
    where: str,
    base: CardBase,
    threshold: float,
) -> str:
    """The card of a routed model.

    Args:
        meta: the router's description.
        evaluations: its evaluations; may be empty.
        name: the name of the export.
        location: what others load it by.
        where: a sentence that says where the base model is.
        base: the base model.
        threshold: the threshold that the export uses.
    """
    what = (
        f"A frozen language model of {meta.num_layers} layers ({base.title}) and a `{meta.kind}` "
        f"router (threshold {threshold:g}): while a prompt is read, it is decided which layers run "
        "for it and for its answer."
    )
    return render_export_card(
        name=name,
        what=what,
        use=_ROUTED_USE.format(location=quoted(location), base=where),
        measured=evaluation_table(evaluations, meta),
        provenance=_provenance(meta, base),
        base=base,
    )


def plain_card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    location: str,
    path: str,
    num_layers: int,
    base: CardBase,
    written: WrittenCheckpoint,
) -> str:
    """The card of a static path as a plain checkpoint; ``num_layers``: of the path."""
    return render_export_card(
        name=name,
        what=plain_what(
            path, length=num_layers, num_layers=meta.num_layers, base=base, written=written
        ),
        use=plain_use(location, written),
        measured=evaluation_table(evaluations, meta),
        provenance=_provenance(meta, base),
        base=base,
    )


def evaluation_table(evaluations: Sequence[CardEvaluation], meta: RouterMeta) -> str:
    """What was measured of a router beside the plain model, as Markdown."""
    if not evaluations:
        return "Nothing yet: no evaluation of this router is known."
    taught = {
        row.split
        for row in evaluations
        if row.task in meta.inputs.tasks and row.split != HELD_OUT_SPLIT
    }
    rows = [
        "One answer per question (top-1), on questions that did not teach the router."
        if not taught
        else "One answer per question (top-1). Questions of "
        f"{', '.join(f'`{split}`' for split in sorted(taught))} may have taught the router.",
        "Intervals hold at 95 %; the difference is in points, on the same questions.",
        "",
        "| task | split | questions | accuracy plain | accuracy routed | difference | McNemar p "
        "| layers plain | layers routed |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {row.task} | {row.split} | {row.n} | "
        f"{row.accuracy_plain:.1%}{_span(row.accuracy_plain_low, row.accuracy_plain_high)} | "
        f"{row.accuracy_routed:.1%}{_span(row.accuracy_routed_low, row.accuracy_routed_high)} | "
        f"{100 * (row.accuracy_routed - row.accuracy_plain):+.1f}"
        f"{_span(row.diff_low, row.diff_high, signed=True)} | {row.p_value:.3g} | "
        f"{row.layers_plain:.2f} | {row.layers_routed:.2f} |"
        for row in evaluations
    ]
    return "\n".join(rows)


def _span(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval in percent or points; empty where a file does not say it."""
    if low is None or high is None:
        return ""
    sign = "+" if signed else ""
    return f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def _provenance(meta: RouterMeta, base: CardBase) -> dict[str, str]:
    return {
        **base_facts(base, fingerprint=meta.inputs.model_fingerprint, dtype=meta.model_dtype),
        "corpus": f"digest `{meta.inputs.corpus_digest}`, preset `{meta.preset}`, "
        f"seed {meta.search_seed}",
        "task": f"`{meta.inputs.task}` version {meta.inputs.task_version}",
        "router": f"`{meta.kind}`, digest `{meta.digest}`, weights sha256 `{meta.weights_sha256}`",
        "labels": f"{meta.num_train} for training, {meta.num_validation} for validation",
        "trained with": named_versions(meta.versions),
        "exported with": named_versions(installed_versions()),
    }
