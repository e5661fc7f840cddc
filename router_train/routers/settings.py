"""Settings of routers: numbers as text, and what is said of settings that do not fit."""

from collections.abc import Mapping, Sequence

from router_train.routers.base import Settings
from search_cluster.errors import ConfigError


def text_of(numbers: Sequence[int]) -> str:
    """Numbers as a setting."""
    return ",".join(map(str, numbers))


def numbers_of(text: int | float | str) -> tuple[int, ...]:
    """The numbers of a setting that `text_of` wrote.

    Raises:
        ValueError: it did not.
    """
    return tuple(int(part) for part in str(text).split(",") if part)


def unfit(shapes: Mapping[str, tuple[int, ...]], settings: Settings) -> ConfigError:
    """The error of weights, of which the shapes are known, that do not fit their settings."""
    return ConfigError(
        f"the router's weights {shapes} do not fit its settings {settings}; fit the router again"
    )
