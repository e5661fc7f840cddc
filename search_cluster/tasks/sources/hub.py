"""Data sets of the Hugging Face hub, which fail at once where there is no hub."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from search_cluster.errors import UnreadableDataError, in_one_line

_ANSWERS_WITHIN_S = 3.0
"""How long the hub may take to say that it is there."""


@cache
def _is_reachable() -> bool:
    """Whether the hub answers, asked once in a process: the library retries for half a minute."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_ANSWERS_WITHIN_S)
    except Exception:  # whatever the transport raises: no network, no name, no certificate
        return False
    return True


@contextmanager
def reachable_hub() -> Iterator[None]:
    """Inside, the library asks nobody if the hub can't be reached: only its cache is read."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not _is_reachable():
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def load_part(
    repository: str, config: str | None, part: str, *, asked_for: str, advice: str
) -> Iterable[Any]:
    """The rows of one part of a data set.

    Args:
        repository: the data set, such as ``allenai/ai2_arc``.
        config: its configuration; ``None``: its only one.
        part: the data set's own name of the part.
        asked_for: the task and the split that need it, for messages.
        advice: what else can be done, for messages.

    Raises:
        UnreadableDataError: it is neither on the hub nor in the cache, or the hub is out of reach.
    """
    from datasets import load_dataset  # heavy, and needed for the hub only

    name = "/".join(item for item in (repository, config, part) if item)
    try:
        with reachable_hub():
            rows: Iterable[Any] = load_dataset(repository, config, split=part)
    except Exception as error:
        # The library raises dozens of types: no network, no data set, a broken cache.
        raise UnreadableDataError(
            f"{asked_for}: {name} can't be loaded from the hub ({type(error).__name__}: "
            f"{in_one_line(error)}); check the connection{advice}"
        ) from error
    return rows


def part_names(repository: str, config: str | None, *, asked_for: str) -> tuple[str, ...]:
    """The names of a data set's parts, as its publisher calls them.

    Raises:
        UnreadableDataError: as `load_part`.
    """
    from datasets import get_dataset_split_names

    try:
        with reachable_hub():
            return tuple(map(str, get_dataset_split_names(repository, config)))
    except Exception as error:  # as above
        raise UnreadableDataError(
            f"{asked_for}: {repository} can't be looked up on the hub ({type(error).__name__}: "
            f"{in_one_line(error)}); check its name and the connection"
        ) from error
