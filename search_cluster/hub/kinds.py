"""The kinds of folders of ours, and the files by which they are known and that make them up.

What is pushed and what is fetched is chosen here, by kind. No kind has a file that is unpickled or
run as code, and none has caches, logs, or the tasks that a run folder keeps.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from search_cluster.hub_spec import FolderKind

MODEL, DATASET = "model", "dataset"
"""What the hub calls its two types of repositories that hold folders of ours."""
CARD_NAME = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """The files of a kind."""

    repo_type: str
    """The type of its repositories."""
    marks: tuple[str, ...]
    """A folder of this kind has all of these; the first says what it is and is small."""
    more: tuple[str, ...] = ()
    """Patterns of what it may have besides."""

    @property
    def all(self) -> tuple[str, ...]:
        """Patterns of all that it is made of, without the card."""
        return (*self.marks, *self.more)


FILES = {
    FolderKind.ROUTER: FolderFiles(
        repo_type=MODEL, marks=("router.json", "router.safetensors"), more=("bridges/*",)
    ),
    FolderKind.BRIDGES: FolderFiles(repo_type=MODEL, marks=("config.json", "bridges.safetensors")),
    FolderKind.LENS: FolderFiles(
        repo_type=MODEL, marks=("config.json", "params.safetensors"), more=("lens.json",)
    ),
    FolderKind.SCAN: FolderFiles(
        repo_type=DATASET,
        marks=("scan.json", "scan.parquet"),
        more=("test_uses.jsonl", "judged.json"),
    ),
    FolderKind.CORPUS: FolderFiles(
        repo_type=DATASET, marks=("manifest.json", "data/shard-*.parquet"), more=("menu.parquet",)
    ),
    FolderKind.STUDY: FolderFiles(repo_type=DATASET, marks=("depth.json",)),
}
"""In the order in which a folder is looked at: an export of a router has a ``config.json``, too."""
ROWS = ("tasks/*", "malformed.jsonl", "rows.parquet")
"""What is left out unless it is asked for: rows of a user's task, and texts that a study read."""
_PICKLED_LENS = "params.pt"


def kind_of(names: Collection[str]) -> FolderKind | None:
    """The kind of a folder by its files' names, relative to it; ``None``: none of ours."""
    for kind, files in FILES.items():
        if all(any(fnmatchcase(name, mark) for name in names) for mark in files.marks):
            return kind
    return None


def described(names: Collection[str]) -> str:
    """What a folder holds, in words."""
    kind = kind_of(names)
    if kind is not None:
        return f"holds a {kind}"
    if "config.json" in names and _PICKLED_LENS in names:
        return (
            f"holds a lens as a pickle ({_PICKLED_LENS}), which is not read from the hub; copy it, "
            "if you trust it, with hf download, and name the folder"
        )
    shown = [name for name in sorted(names) if name != CARD_NAME and not name.startswith(".")]
    if not shown:
        return "is empty"
    return f"holds no folder of ours ({', '.join(shown[:3])}{', ...' if len(shown) > 3 else ''})"
