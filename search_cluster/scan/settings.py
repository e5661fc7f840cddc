"""What a scan is asked for: the space of paths, the aim, and what it may cost."""

from dataclasses import dataclass
from enum import StrEnum

from search_cluster.errors import ConfigError
from search_cluster.scan.edits import TWICE

MAX_GROWN_EDITS = 4


class Family(StrEnum):
    """A kind of paths that a scan begins with."""

    SKIP = "skip"
    """One block of neighbouring layers is left out."""
    REPEAT = "repeat"
    """One block runs several times."""
    LIST = "list"
    """Paths of a file."""


class Aim(StrEnum):
    """What makes a path better than the plain model."""

    ACCURACY = "accuracy"
    """It is right more often."""
    LAYERS = "layers"
    """It runs fewer layers and is not right less often."""
    FRONT = "front"
    """Either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSettings:
    """The settings of a scan beside those of its workers.

    Raises:
        ConfigError: a value is out of its range.
    """

    families: tuple[str, ...] = (Family.SKIP.value, Family.REPEAT.value)
    """Which paths are tried at first: skip (one block of layers left out), repeat (one block run
    several times), list (those of --paths)."""
    max_block: int | None = None
    """The largest number of layers in a block; ``None``: all."""
    passes: int = TWICE
    """The largest number of times that a repeated block runs."""
    grow: int = MAX_GROWN_EDITS
    """The largest number of edits in a path; 1 tries single blocks alone."""
    aim: str = Aim.ACCURACY.value
    """What is looked for: accuracy (right more often), layers (fewer of them, not right less
    often), front (either)."""
    budget: int | None = None
    """The largest number of verdicts (pairs of path and question), on all splits; ``None``: as many
    as the plan needs."""
    minutes: float | None = None
    """The search opens no further round after so many minutes; validation and test come after it.
    What is found then depends on the machine's speed; ``None``: no limit."""
    timings: bool = True
    """Measure at the end what the reported paths take, on this machine."""

    def __post_init__(self) -> None:
        for name in self.families:
            if name not in set(Family):
                raise ConfigError(f"families has {name!r}; families are {', '.join(Family)}")
        if len(set(self.families)) < max(1, len(self.families)):
            raise ConfigError(f"families are {self.families}; name each once, and at least one")
        if self.aim not in set(Aim):
            raise ConfigError(f"aim is {self.aim!r}; it is one of {', '.join(Aim)}")
        lowest = {"max_block": 1, "passes": TWICE, "grow": 1, "budget": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; it is at least {least}")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes is {self.minutes:g}; it is above 0")
