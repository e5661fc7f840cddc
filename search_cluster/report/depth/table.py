"""One table of a depth study's page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthTable:
    """A table with the words around it."""

    id: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
