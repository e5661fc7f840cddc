"""Figures of the report as the page draws them, and tags of the files that they are made of."""

import json
from pathlib import Path
from typing import Any

from search_cluster.report.chart import ReportFigure


def picture(figure: ReportFigure) -> dict[str, Any]:
    """A figure with the words around it, ready for JSON."""
    return {
        "title": figure.title,
        "caption": figure.caption,
        **json.loads(figure.figure.to_json()),
    }


def tag_of(path: Path) -> str:
    """A text that changes with a file; the same one while there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{status.st_mtime_ns} {status.st_size}"
