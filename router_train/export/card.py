"""Model cards of exports: what it is, how to load it, what was measured, its origin."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from huggingface_hub import ModelCardData

from router_train.data.labels import HELD_OUT_SPLIT
from router_train.export.evaluations import CardEvaluation
from router_train.export.licence import Licence
from router_train.training.checkpoint import RouterMeta, installed_versions
from search_cluster.model.portable.checkpoint import WrittenCheckpoint
from search_cluster.model.portable.versions import SPELLED_AS_VERSION_4, TESTED

_ROUTED_USE = """\
```python
import router_train.auto  # registers the model type; pip install search-cluster
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({location})
tokenizer = AutoTokenizer.from_pretrained({location}, padding_side="left")
```

No code is loaded from this folder. It needs the transformers of search-cluster (5.20 or newer).
{base}"""
_PLAIN_USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({location}{dtype})
tokenizer = AutoTokenizer.from_pretrained({location}, padding_side="left")
```

An ordinary checkpoint of its family: needs nothing but transformers. {versions}"""
_DATES = ("strftime_now", "date_string", "current_date")
"""What chat templates take the day from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBase:
    """What a card says of the base model."""

    title: str
    """Which one it is, in words that help others: never a path of this machine."""
    hub_id: str | None
    licence: Licence = field(default_factory=Licence)
    stored: str = ""
    """How its files hold the weights, if that is not how they are used."""
    chat_template: str | None = None
    """The template in which prompts were asked; ``None``: as plain text."""


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
    use = _ROUTED_USE.format(location=_quoted(location), base=where)
    what = (
        f"A frozen language model of {meta.num_layers} layers ({base.title}) and a `{meta.kind}` "
        f"router (threshold {threshold:g}): while a prompt is read, it is decided which layers run "
        "for it and for its answer."
    )
    return _card(meta, evaluations, name=name, what=what, use=use, base=base)


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
    stored = f"; its own files hold {base.stored}" if base.stored else ""
    what = (
        f"The layers {path} of a language model of {meta.num_layers} layers ({base.title}), as a "
        f"model of {num_layers} layers. The path was found by search; weights are those of the "
        f"base model in {written.dtype}, in which it was searched{stored}."
    )
    use = _PLAIN_USE.format(
        location=_quoted(location),
        dtype="" if written.dtype == "float32" else ', dtype="auto"',
        versions=_versions(written.versions),
    )
    return _card(meta, evaluations, name=name, what=what, use=use, base=base)


def _quoted(location: str) -> str:
    return json.dumps(location, ensure_ascii=False)


def _versions(right: Sequence[str]) -> str:
    """Which versions open it: those that were tested, and what happens with the others."""
    text = f"Tested with transformers {_listed(right)}: equal logits, equal tokens."
    wrong = [version for version in TESTED if version not in right]
    if not any(version in right for version in SPELLED_AS_VERSION_4):
        text = f"It needs transformers 5; version 4 has no words for its settings. {text}"
        wrong = [version for version in wrong if version not in SPELLED_AS_VERSION_4]
    if wrong:
        text += f" Not with {_listed(wrong)}, where it fails or computes something else."
    return text


def _listed(versions: Sequence[str]) -> str:
    *most, last = versions
    return f"{', '.join(most)} and {last}" if most else last


def _card(
    meta: RouterMeta,
    evaluations: Sequence[CardEvaluation],
    *,
    name: str,
    what: str,
    use: str,
    base: CardBase,
) -> str:
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["layer-path", "dynamic-depth", "search-cluster"],
        base_model=base.hub_id,
        license=base.licence.identifier,
        license_name=base.licence.name,
        license_link=base.licence.link,
    )
    sections = [
        f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{what}",
        f"## Use\n\n{use}",
        f"## Measured\n\n{_table(evaluations, meta)}\n\n{_prompts(base)}",
        f"## Provenance\n\n{_provenance(meta, base)}",
    ]
    return "\n\n".join(sections) + "\n"


def _prompts(base: CardBase) -> str:
    if base.chat_template is None:
        return "Prompts were asked as plain text."
    text = "Prompts were asked in the tokenizer's chat template."
    if any(name in base.chat_template for name in _DATES):
        text += " It writes the day's date into them, so that answers can differ from day to day."
    return text


def _table(evaluations: Sequence[CardEvaluation], meta: RouterMeta) -> str:
    if not evaluations:
        return "Nothing yet: this router was exported without an evaluation."
    taught = {
        row.split
        for row in evaluations
        if row.task == meta.inputs.task and row.split != HELD_OUT_SPLIT
    }
    rows = [
        "One answer per question (top-1), on questions that did not teach the router."
        if not taught
        else "One answer per question (top-1). Questions of "
        f"{', '.join(f'`{split}`' for split in sorted(taught))} may have taught the router.",
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


def _provenance(meta: RouterMeta, base: CardBase) -> str:
    files = ", ".join(f"`{file.name}`" for file in base.licence.files)
    facts = {
        "base model": f"{base.title}, fingerprint `{meta.inputs.model_fingerprint}`, "
        f"{meta.model_dtype}",
        "licence": "that of the base model"
        + (f", {base.licence.name or base.licence.identifier}" if base.licence.identifier else "")
        + (f" ({files})" if files else "" if base.licence.identifier else "; its files name none"),
        "corpus": f"digest `{meta.inputs.corpus_digest}`, preset `{meta.preset}`, "
        f"seed {meta.search_seed}",
        "task": f"`{meta.inputs.task}` version {meta.inputs.task_version}",
        "router": f"`{meta.kind}`, digest `{meta.digest}`, weights sha256 `{meta.weights_sha256}`",
        "labels": f"{meta.num_train} for training, {meta.num_validation} for validation",
        "trained with": _named(meta.versions),
        "exported with": _named(installed_versions()),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
