"""A depth study as the page shows it, ready for JSON: that of a folder, or one beside a run.

As with a scan, what was found is small, and plots and tables have a tag.
"""

from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from search_cluster.dashboard.pictures import picture, tag_of
from search_cluster.depth.result import DEPTH_NAME, DepthResult, holds_study, read_depth_result
from search_cluster.errors import CorpusError
from search_cluster.report.depth.figures import depth_figures
from search_cluster.report.depth.html import depth_provenance, depth_title
from search_cluster.report.depth.tables import depth_tables
from search_cluster.report.depth.words import screen

DEPTH_FOLDER = "depth"
"""The folder in a run folder where a study of its model is looked for."""


class DepthFolder:
    """Reads what a depth study wrote; safe to share between threads.

    Args:
        folder: of the study, or of a run that has one in `DEPTH_FOLDER`, or neither.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._tag = ""
        self._result: DepthResult | None = None

    def describe(self) -> dict[str, Any] | None:
        """What the study found; ``None`` if there is none.

        Raises:
            CorpusError: its file is damaged.
        """
        if (found := self._read()) is None:
            return None
        tag, result = found
        return {
            "title": depth_title(result),
            "is_all": holds_study(self._folder),
            "notes": result.notes,
            "lines": [{"topic": topic, "text": text} for topic, text in screen(result)],
            "tag": tag,
        }

    def describe_pictures(self) -> dict[str, Any]:
        """The plots and the tables.

        Raises:
            CorpusError: its file is damaged, or there is none.
        """
        if (found := self._read()) is None:
            raise CorpusError(f"{self._folder} holds no depth study; name what 'depth --out' named")
        tag, result = found
        return {
            "tag": tag,
            "figures": [picture(figure) for figure in depth_figures(result)],
            "tables": [asdict(table) for table in depth_tables(result)],
            "provenance": depth_provenance(result),
        }

    def _read(self) -> tuple[str, DepthResult] | None:
        places = (self._folder, self._folder / DEPTH_FOLDER)
        place = next((place for place in places if holds_study(place)), None)
        if place is None:
            return None
        tag = tag_of(place / DEPTH_NAME)
        with self._lock:
            if self._result is None or tag != self._tag:
                self._tag, self._result = tag, read_depth_result(place)
            return tag, self._result
