"""Rows of a data set on the hub, each with the split that it belongs to."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from search_cluster.errors import TaskError
from search_cluster.tasks.raw_examples import Row, RowError
from search_cluster.tasks.sources.files import RawRows
from search_cluster.tasks.sources.hub import load_part, part_names
from search_cluster.tasks.sources.mapping import FieldMapping
from search_cluster.tasks.splits import SplitPart, cut_note, cut_parts, split_of
from search_cluster.tasks.task import SPLITS, MalformedRow

_USUAL_NAMES = (
    ("train", "training"),
    ("validation", "valid", "val", "dev", "eval"),
    ("test",),
)
"""What publishers call their parts for training, validation and test."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRows:
    """Reads all parts of a data set as rows of ours; call it with the name of the task."""

    repository: str
    """The data set, such as ``allenai/ai2_arc``."""
    config: str | None
    """Its configuration; ``None``: its only one."""
    names: tuple[str, ...]
    """The parts to use, for training, validation and test; empty: those with the usual names."""
    mapping: FieldMapping | None
    """Which columns are what; ``None``: they have our names."""

    def __call__(self, task: str) -> RawRows:
        """The rows of all parts, in their order.

        Raises:
            UnreadableDataError: the data set can't be loaded.
            TaskError: it has no part with a usual name.
        """
        cut = cut_parts(self._parts(task))
        if note := cut_note(cut):
            _logger.warning("task %s: %s", task, note)
        for part in dict.fromkeys(where.part for where in cut.values()):
            splits = [split for split in SPLITS if cut[split].part == part]
            rows = load_part(
                self.repository,
                self.config,
                part,
                asked_for=f"split {splits[0]!r} of task {task}",
                advice=", or name a local file with the same rows",
            )
            for number, value in enumerate(rows):
                source = "/".join(item for item in (self.repository, self.config, part) if item)
                yield self._row(f"{source}:{number}", value, splits[0], cut[splits[0]])

    def _parts(self, task: str) -> list[str]:
        if self.names:
            return list(self.names)
        found = part_names(self.repository, self.config, asked_for=f"task {task}")
        usual = [next((name for name in names if name in found), None) for names in _USUAL_NAMES]
        parts = [name for name in usual if name is not None] or list(found[:1])
        if not parts:
            raise TaskError(f"task {task}: {self.repository} has no part; name another data set")
        return parts

    def _row(self, source: str, value: object, split: str, where: SplitPart) -> Row | MalformedRow:
        """A row with its split: by hash of the question if the part is cut."""
        try:
            row = dict(value) if isinstance(value, Mapping) else {}
            row = row if self.mapping is None else self.mapping.row(row)
        except RowError as error:
            return MalformedRow(source=source, reason=str(error))
        if where.shares is not None:
            split = split_of(str(row.get("question", "")), where.shares)
        return Row(source=source, value={**row, "split": split})
