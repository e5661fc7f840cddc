"""Task files of EleutherAI's harness over local data, without a network."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

RIVERS = [
    {
        "q": f"Which river is number {number}?",
        "options": [f"Aare {number}", f"Rhine {number}", f"Seine {number}"],
        "label": number % 3,
        "hint": f"It is long, {number}. ",
    }
    for number in range(12)
]
SUMS = [
    {"a": number, "b": number + 1, "sum": str(2 * number + 1), "names": ["x", f"y{number}"]}
    for number in range(12)
]


def write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as JSON Lines; the path as a task file names it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(file)


def write_harness_task(
    folder: Path,
    name: str,
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    text: str = "",
    **keys: Any,
) -> Path:
    """A task file beside its data; ``parts`` are the harness' own names of splits.

    ``text`` is added as it is, for what a dumper can't write.
    """
    files = {part: write_rows(folder, f"{name}_{part}.jsonl", rows) for part, rows in parts.items()}
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        **{f"{part}_split": part for part in parts},
        **keys,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True) + text, encoding="utf-8")
    return file
