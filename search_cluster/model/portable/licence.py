"""The licence of a base model, as its files state it: it holds for exported weights as well."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from huggingface_hub import ModelCard
from yaml import YAMLError  # type: ignore[import-untyped]

from search_cluster.bridged_spec import DEMO_SPEC
from search_cluster.model.load.demo import DEMO_PACKAGE

_CARD = "README.md"
_TEXTS = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What the files of a model say about its licence."""

    identifier: str | None = None
    """The hub's short name of it, such as ``apache-2.0``."""
    name: str | None = None
    """Its own name, if `identifier` is ``other``."""
    link: str | None = None
    """Where its text is."""
    files: tuple[Path, ...] = ()
    """Texts that have to be handed on."""


def licence_of(spec: str, place: Path) -> Licence:
    """The licence of a model.

    Args:
        spec: the name that the model was asked for by.
        place: its folder or GGUF file.
    """
    if spec == DEMO_SPEC:
        stated = metadata.metadata(DEMO_PACKAGE).get_all("License", [])
        return Licence(identifier=stated[0].lower() if stated else None)
    if place.is_file():
        return Licence()
    files = tuple(sorted({file for text in _TEXTS for file in place.glob(text) if file.is_file()}))
    card = place / _CARD
    if not card.is_file():
        return Licence(files=files)
    try:
        data = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    except (ValueError, YAMLError):
        return Licence(files=files)
    return Licence(
        identifier=_text(data.get("license")),
        name=_text(data.get("license_name")),
        link=_text(data.get("license_link")),
        files=files,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
