"""The files of the page, none of which comes from a network.

They are those in the folder ``page``, and plotly's script from its package.
"""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from plotly.offline import get_plotlyjs

MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"
PLOTLY = "plotly.min.js"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file in memory."""

    media_type: str
    """The media type of its content."""
    packed: bytes
    """Its content, compressed by gzip."""
    tag: str
    """A text that changes with the content (an HTTP entity tag)."""


def read_assets() -> dict[str, Asset]:
    """All files by name.

    Requests are answered from here, so no path in a URL reaches the file system.
    """
    assets = {
        item.name: _asset(item.name, item.read_bytes())
        for item in files("search_cluster.dashboard").joinpath("page").iterdir()
        if item.is_file()
    }
    return assets | {PLOTLY: _asset(PLOTLY, get_plotlyjs().encode())}


def _asset(name: str, content: bytes) -> Asset:
    suffix = name[name.rindex(".") :]
    return Asset(
        media_type=MEDIA_TYPES[suffix],
        packed=gzip.compress(content, compresslevel=6, mtime=0),
        tag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )
