"""What we know of a lens besides its translators: the file ``lens.json`` in its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from search_cluster.model.fitted import read_fitted_record
from search_cluster.model.lens.lens import LensKind

LENS_SCHEMA = 1
"""The version of ``lens.json``."""
RECORD_NAME = "lens.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRecord:
    """What ``lens.json`` says."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = LENS_SCHEMA
    kind: LensKind
    digest: str
    """See `search_cluster.model.lens.folder.lens_digest`."""
    model_fingerprint: str
    model_spec: str
    """The spec by which the model was loaded when the lens was fitted."""
    model_dtype: str
    model_parts: dict[str, str]
    """A short hash of each part that the model's fingerprint covers."""
    found: dict[str, Any]
    """How it was fitted, and how good it is: what ``lens fit --json`` says."""


_RECORD = TypeAdapter(LensRecord)


def read_record(folder: Path) -> LensRecord | None:
    """What ``lens.json`` says; ``None`` in folders that other tools wrote.

    Raises:
        ConfigError: it can't be read, or says what no version writes.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        return None
    return read_fitted_record(
        path,
        _RECORD,
        schema=LENS_SCHEMA,
        what="a lens description",
        again="fit the lens to a new folder",
    )
