"""Pages that stand beside a report in its run folder, which the report links."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

PAGES = (
    ("lens.html", "what it would say after each layer"),
    ("depth/report.html", "where its answers are made"),
)
"""What ``lens show --html`` and ``depth --out`` are asked to write into a run folder, and what that
shows of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """A link to a page."""

    text: str
    address: str
    """From the report's own folder."""


def pages_beside(folder: Path, report: Path) -> tuple[PageLink, ...]:
    """The pages that are in a run folder.

    Args:
        folder: the run folder.
        report: the file that links them.
    """
    return tuple(
        PageLink(
            text=text,
            address=quote(os.path.relpath(folder / name, report.parent)),
        )
        for name, text in PAGES
        if (folder / name).is_file()
    )
