"""What model cards of exports have in common: front matter, use, prompts, licence."""

import json
from collections.abc import Mapping, Sequence

from huggingface_hub import ModelCardData

from search_cluster.model.portable.base import CardBase
from search_cluster.model.portable.checkpoint import WrittenCheckpoint
from search_cluster.model.portable.versions import SPELLED_AS_VERSION_4, TESTED

CARD_NAME = "README.md"
_PLAIN_USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({location}{dtype})
tokenizer = AutoTokenizer.from_pretrained({location}, padding_side="left")
```

An ordinary checkpoint of its family: needs nothing but transformers. {versions}"""
_DATES = ("strftime_now", "date_string", "current_date")
"""What chat templates take the day from."""


def render_export_card(
    *,
    name: str,
    what: str,
    use: str,
    measured: str,
    provenance: Mapping[str, str],
    base: CardBase,
) -> str:
    """A model card.

    Args:
        name: the name of the export.
        what: a sentence that says what it is.
        use: how it is loaded, as Markdown.
        measured: what was measured of it, as Markdown.
        provenance: where it comes from, fact by fact; `base_facts` gives the first two.
        base: the base model.
    """
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["layer-path", "dynamic-depth", "search-cluster"],
        base_model=base.hub_id,
        license=base.licence.identifier,
        license_name=base.licence.name,
        license_link=base.licence.link,
    )
    facts = "\n".join(f"- {fact}: {value}" for fact, value in provenance.items())
    sections = [
        f"---\n{data.to_yaml()}\n---\n\n# {name}\n\n{what}",
        f"## Use\n\n{use}",
        f"## Measured\n\n{measured}\n\n{_prompts(base)}",
        f"## Provenance\n\n{facts}",
    ]
    return "\n\n".join(sections) + "\n"


def plain_what(
    path: str, *, length: int, num_layers: int, base: CardBase, written: WrittenCheckpoint
) -> str:
    """What a plain checkpoint of a path is; ``length`` of the path, ``num_layers`` of the model."""
    stored = f"; its own files hold {base.stored}" if base.stored else ""
    return (
        f"The layers {path} of a language model of {num_layers} layers ({base.title}), as a "
        f"model of {length} layers. The path was found by search; weights are those of the "
        f"base model in {written.dtype}, in which it was searched{stored}."
    )


def plain_use(location: str, written: WrittenCheckpoint) -> str:
    """How a plain checkpoint is loaded from a location."""
    return _PLAIN_USE.format(
        location=quoted(location),
        dtype="" if written.dtype == "float32" else ', dtype="auto"',
        versions=_versions(written.versions),
    )


def base_facts(base: CardBase, *, fingerprint: str, dtype: str) -> dict[str, str]:
    """The base model and its licence, as facts of a card's provenance."""
    files = ", ".join(f"`{file.name}`" for file in base.licence.files)
    return {
        "base model": f"{base.title}, fingerprint `{fingerprint}`, {dtype}",
        "licence": "that of the base model"
        + (f", {base.licence.name or base.licence.identifier}" if base.licence.identifier else "")
        + (f" ({files})" if files else "" if base.licence.identifier else "; its files name none"),
    }


def quoted(location: str) -> str:
    """A location as Python spells it."""
    return json.dumps(location, ensure_ascii=False)


def named_versions(versions: Mapping[str, str]) -> str:
    """Packages and their versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


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


def _prompts(base: CardBase) -> str:
    if base.chat_template is None:
        return "Prompts were asked as plain text."
    text = "Prompts were asked in the tokenizer's chat template."
    if any(name in base.chat_template for name in _DATES):
        text += " It writes the day's date into them, so that answers can differ from day to day."
    return text
