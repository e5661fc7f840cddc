"""What is fitted to a model (a lens, bridges, a shortcut): its file, whose it is, who holds it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from torch import nn

from search_cluster.errors import ConfigError, ModelError, in_one_line
from search_cluster.model.load.fingerprint import PART_HEX_DIGITS, fingerprint_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import shallow_copy

COMPARED_PARTS = ("weights", "config", "tokenizer", "code")
"""The parts of a model that something fitted belongs to. Its dtype, template and end tokens may
differ: they change no state by more than rounding."""

_logger = logging.getLogger(__name__)


class FittedRecord(Protocol):
    """What a description says of the model."""

    @property
    def schema(self) -> int:
        """The version of the description."""
        ...

    @property
    def model_fingerprint(self) -> str:
        """The model's."""
        ...

    @property
    def model_spec(self) -> str:
        """The name by which it was loaded."""
        ...

    @property
    def model_dtype(self) -> str:
        """Its dtype."""
        ...

    @property
    def model_parts(self) -> dict[str, str]:
        """A short hash of each part that its fingerprint covers."""
        ...


RecordT = TypeVar("RecordT", bound=FittedRecord)


def read_fitted_record(
    path: Path, adapter: TypeAdapter[RecordT], *, schema: int, what: str, again: str
) -> RecordT:
    """What a description says.

    Args:
        path: the file, which is there.
        adapter: what it holds.
        schema: the version that is read.
        what: what it is, such as "a lens description".
        again: what to do about another one, such as "fit the lens again".

    Raises:
        ConfigError: it can't be read, or says what no version writes.
    """
    try:
        record = adapter.validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            f"{path} is not {what} of schema {schema} ({in_one_line(error)[:120]}); {again}"
        ) from error
    if record.schema != schema:
        raise ConfigError(
            f"{path} has schema {record.schema}; this version reads {schema}: {again}"
        )
    return record


def require_same_model(
    record: FittedRecord,
    loaded: LoadedModel,
    *,
    what: str,
    was: str,
    again: str,
    same_shape: bool = True,
) -> None:
    """Pass if something was fitted to the loaded model, and say what can't be known.

    Args:
        record: its description.
        loaded: the model.
        what: what it is and where, such as "lens runs/lens".
        was: "was", or "were" of several things.
        again: what to do about another one's, after "load".
        same_shape: whether the model has the shape that the description says.

    Raises:
        ModelError: it belongs to another model.
    """
    if loaded.identity.is_known_as(record.model_fingerprint):
        return
    # Weights of another dtype have another hash, though they may be the same model's.
    same_dtype = record.model_dtype == loaded.dtype
    compared = COMPARED_PARTS if same_dtype else COMPARED_PARTS[1:]
    differing = [
        name for name in compared if record.model_parts.get(name) != loaded.parts.get(name)
    ]
    if differing or not record.model_parts or not same_shape:
        raise ModelError(
            f"{what} {was} fitted to model {record.model_spec!r} ({record.model_dtype}, "
            f"fingerprint {record.model_fingerprint}); the loaded model {loaded.spec!r} "
            f"({loaded.dtype}) has fingerprint {loaded.fingerprint} (what differs: "
            f"{', '.join(differing) or 'not known'}): load {again}"
        )
    if not same_dtype:
        is_ = "are" if was == "were" else "is"
        _logger.warning(
            "%s %s fitted in %s and %s used in %s; that the weights are the same model's can't be "
            "checked",
            *(what, was, record.model_dtype, is_, loaded.dtype),
        )


def with_fitted(loaded: LoadedModel, name: str, module: nn.Module, digest: str) -> LoadedModel:
    """The model whose decoder holds something fitted; shares all weights, and leaves ``loaded`` be.

    It has a fingerprint of its own, which no former version knew, so that caches, corpora, routers
    and exports never take verdicts of the one for the other's.

    Args:
        loaded: the model.
        name: the attribute of the decoder, and the part of the fingerprint.
        module: what was fitted, on the model's device.
        digest: hex digits that are equal for modules that do the same to states.
    """
    view = shallow_copy(loaded.model)
    view.model = shallow_copy(loaded.model.model)
    setattr(view.model, name, module)
    parts = {**loaded.parts, name: digest[:PART_HEX_DIGITS]}
    return replace(
        loaded,
        model=view,
        # A loaded model may not know its parts, so its own fingerprint counts as one, too.
        fingerprint=fingerprint_of({**parts, "model": loaded.fingerprint}),
        former_fingerprints=(),
        parts=parts,
    )
