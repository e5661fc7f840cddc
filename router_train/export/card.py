"""Model cards of exports: what it is, how to load it, what was measured, its origin."""

from collections.abc import Sequence

from huggingface_hub import ModelCardData

from router_train.export.evaluations import CardEvaluation
from router_train.training.checkpoint import RouterMeta

_ROUTED_USE = """\
```python
import router_train.auto  # registers the model type; pip install search-cluster
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}", padding_side="left")
```

No code is loaded from this folder. {base}"""
_PLAIN_USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}", padding_side="left")
```

An ordinary checkpoint of its family: needs nothing but transformers."""


def routed_card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    base: str,
    hub_id: str | None,
    threshold: float,
) -> str:
    """The card of a routed model.

    Args:
        meta: the router's description.
        evaluations: its evaluations; may be empty.
        name: the name of the export.
        base: a sentence that says where the base model is.
        hub_id: the base model's, if it has one.
        threshold: the threshold that the export uses.
    """
    use = _ROUTED_USE.format(name=name, base=base)
    what = (
        f"A frozen language model of {meta.num_layers} layers and a `{meta.kind}` router "
        f"(threshold {threshold:g}): while a prompt is read, it is decided which layers run for it "
        "and for its answer."
    )
    return _card(meta, evaluations, name=name, what=what, use=use, hub_id=hub_id)


def plain_card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    path: str,
    num_layers: int,
    hub_id: str | None,
) -> str:
    """The card of a static path as a plain checkpoint; ``num_layers``: of the path."""
    what = (
        f"The layers {path} of a language model of {meta.num_layers} layers, as a model of "
        f"{num_layers} layers. The path was found by search; weights are those of the base model, "
        "unchanged."
    )
    return _card(
        meta, evaluations, name=name, what=what, use=_PLAIN_USE.format(name=name), hub_id=hub_id
    )


def _card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    what: str,
    use: str,
    hub_id: str | None,
) -> str:
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["layer-path", "dynamic-depth", "search-cluster"],
        base_model=hub_id,
    )
    sections = [
        f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{what}",
        f"## Use\n\n{use}",
        f"## Measured\n\n{_table(evaluations)}",
        f"## Provenance\n\n{_provenance(meta)}",
    ]
    return "\n\n".join(sections) + "\n"


def _table(evaluations: Sequence[CardEvaluation]) -> str:
    if not evaluations:
        return "Nothing yet: this router was exported without an evaluation."
    rows = [
        "One answer per question (top-1), on questions that did not teach the router.",
        "",
        "| task | split | questions | accuracy plain | accuracy routed | McNemar p | layers plain "
        "| layers routed |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {row.task} | {row.split} | {row.n} | {row.accuracy_plain:.1%} | "
        f"{row.accuracy_routed:.1%} | {row.p_value:.3g} | {row.layers_plain:.2f} | "
        f"{row.layers_routed:.2f} |"
        for row in evaluations
    ]
    return "\n".join(rows)


def _provenance(meta: RouterMeta) -> str:
    facts = {
        "base model": f"fingerprint `{meta.inputs.model_fingerprint}`, {meta.model_dtype}",
        "corpus": f"digest `{meta.inputs.corpus_digest}`, preset `{meta.preset}`, "
        f"seed {meta.search_seed}",
        "task": f"`{meta.inputs.task}` version {meta.inputs.task_version}",
        "router": f"`{meta.kind}`, digest `{meta.digest}`, weights sha256 `{meta.weights_sha256}`",
        "labels": f"{meta.num_train} for training, {meta.num_validation} for validation",
        "versions": ", ".join(f"{name} {version}" for name, version in meta.versions.items()),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
