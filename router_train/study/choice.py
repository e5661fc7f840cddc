"""Which experiment is the best of each kept corpus: written by the study, read by its check."""

import json
from collections.abc import Mapping
from pathlib import Path

from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole

CHOSEN_FILE = Path(__file__).parent / "chosen.json"


def read_chosen(file: Path = CHOSEN_FILE) -> dict[str, str]:
    """The name of each corpus' experiment; empty if nothing was chosen yet.

    Raises:
        ConfigError: the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{file} is no JSON ({error}); restore it, or run the study again"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ConfigError(
            f"{file} holds {found!r}; it maps corpora to experiments: run the study again"
        )
    return found


def write_chosen(chosen: Mapping[str, str], file: Path = CHOSEN_FILE) -> None:
    """Add the choices to those of other corpora, atomically."""
    write_text_whole(
        file, json.dumps({**read_chosen(file), **chosen}, indent=2, sort_keys=True) + "\n"
    )
