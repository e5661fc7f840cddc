"""The evaluations of a router, read back for its model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import ConfigError

RUN_EVALUATIONS = "evaluations"
"""The folder beside a run's ``routers`` folder. Its files are named after the router's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvaluation:
    """The figures of one evaluation for a model card.

    They are some fields of what ``router-train evaluate --out`` writes.
    """

    __pydantic_config__ = ConfigDict(extra="ignore", strict=True)

    router: str
    task: str
    split: str
    threshold: float
    n: int
    accuracy_plain: float
    accuracy_routed: float
    p_value: float
    layers_plain: float
    layers_routed: float
    router_digest: str = ""
    """Which router it was; older files do not say."""
    accuracy_plain_low: float | None = None
    """The lower end of the 95 % interval; ``None`` here and below: the file does not say."""
    accuracy_plain_high: float | None = None
    accuracy_routed_low: float | None = None
    accuracy_routed_high: float | None = None
    diff: float | None = None
    """The routed accuracy minus the plain one, on the same questions."""
    diff_low: float | None = None
    diff_high: float | None = None


_ADAPTER = TypeAdapter(CardEvaluation)


def read_evaluations(
    files: Sequence[Path], *, kind: str, digest: str, threshold: float
) -> tuple[CardEvaluation, ...]:
    """The evaluations in files, in their order.

    Raises:
        ConfigError: a file is no evaluation, or one of another router or another threshold.
    """
    evaluations = []
    for file in files:
        try:
            found = _ADAPTER.validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise ConfigError(
                f"{file} is no evaluation of a router ({reason}); write one with router-train "
                f"evaluate --out {file}"
            ) from error
        if (found.router, found.threshold) != (kind, threshold):
            raise ConfigError(
                f"{file} evaluates a {found.router} router at threshold {found.threshold:g}; this "
                f"export is a {kind} router at {threshold:g}: evaluate it, or leave the file out"
            )
        if found.router_digest not in ("", digest):
            raise ConfigError(
                f"{file} evaluates router {found.router_digest}; this export is router {digest} of "
                "the same kind: evaluate it, or leave the file out"
            )
        evaluations.append(found)
    return tuple(evaluations)


def evaluations_of(router_folder: Path) -> tuple[Path, ...]:
    """The evaluation that a run keeps of a router in its ``routers`` folder, if there is one."""
    folder = router_folder.resolve()
    file = folder.parent.parent / RUN_EVALUATIONS / f"{folder.name}.json"
    return (file,) if folder.parent.name == "routers" and file.is_file() else ()
