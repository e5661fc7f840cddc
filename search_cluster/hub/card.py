"""Cards of repositories: what it is, how it is read, what was measured and how.

What is not known is not on a card.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData, ModelCardData

from search_cluster.bridged_spec import DEMO_SPEC, model_name, split_spec
from search_cluster.hub.kinds import DATASET
from search_cluster.hub_spec import is_repository

_PLACE = re.compile(r"(?<![\w:/.])(?:~|/)[^\s`|]*/([^\s`|/]+)")
TAGS = ("search-cluster", "layer-path", "dynamic-depth")
LIBRARY = "search-cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card says."""

    title: str
    what: str
    """What it is, in a paragraph."""
    use: Sequence[str]
    """Commands that read it."""
    measured: str
    """What was measured, as Markdown."""
    how: Mapping[str, str]
    """How it was measured, fact by fact; empty facts are left out."""
    rights: str
    """Whose the contents are, in a paragraph."""
    more: str = ""
    """Further sections, as Markdown."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the front matter; ``None`` is left out."""


def render_hub_card(card: Card, *, repo_type: str, licence: str | None) -> str:
    """The text of a card, with its front matter.

    Args:
        card: what it says.
        repo_type: the type of the repository.
        licence: as the hub names it; ``None``: the card states none.
    """
    common = {"license": licence, "tags": list(TAGS), **card.data}
    data = (
        DatasetCardData(pretty_name=card.title, **common)
        if repo_type == DATASET
        else ModelCardData(library_name=LIBRARY, **common)
    )
    facts = "\n".join(
        f"- {fact}: {without_places(value)}" for fact, value in card.how.items() if value
    )
    commands = "\n".join(card.use)
    stated = "" if licence else " No licence is stated for the rest."
    sections = [
        f"---\n{data.to_yaml()}\n---\n\n# {card.title}\n\n{card.what}",
        f"## Use\n\n```bash\n{commands}\n```",
        f"## Measured\n\n{without_places(card.measured)}",
        f"## How it was measured\n\n{facts}",
        *([card.more] if card.more else []),
        f"## Licence\n\n{card.rights}{stated}",
    ]
    return "\n\n".join(sections) + "\n"


def without_places(text: str) -> str:
    """A text in which files and folders of this machine go by their last name alone."""
    return _PLACE.sub(r"\1", text)


def model_title(spec: str) -> str:
    """Which model it was, in words that help others: never a path of this machine."""
    name = model_name(spec)
    own, _ = split_spec(spec)
    is_known = own == DEMO_SPEC or hub_id_of(spec) is not None
    return name if is_known else f"{name} (a local model)"


def hub_id_of(spec: str) -> str | None:
    """The hub id of a recorded model; ``None``: it is none, or it may be a folder."""
    model, _ = split_spec(spec)
    return model if is_repository(model) and not Path(model).exists() else None


def model_word(spec: str) -> str:
    """The model in a command that others can run; ``MODEL`` stands for one of this machine."""
    return DEMO_SPEC if spec == DEMO_SPEC else hub_id_of(spec) or "MODEL"


def model_facts(spec: str, fingerprint: str, dtype: str) -> str:
    """Which model it was, exactly."""
    return f"{model_title(spec)}, fingerprint `{fingerprint}`, {dtype}"


def prompts_text(chat: str) -> str:
    """How questions were asked; empty where that is not known.

    Args:
        chat: ``always``, ``never``, or what else stands on record.
    """
    return {"always": "in the chat template", "never": "plain text"}.get(chat, "")


def versions_text(versions: Mapping[str, str]) -> str:
    """Packages and their versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
