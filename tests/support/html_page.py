"""An HTML file as a browser reads it, and texts that try to be more than text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = (
    "<script>alert(1)</script> </script><img src=x onerror=alert(2)> {{ 7*7 }} ${1} ' \" &amp; "
    "\x00 <!--"
)

EXTERNAL = {"src", "href", "action", "srcset", "data"}


class HtmlPage(HTMLParser):
    """Collects tags, scripts and the text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self._open or self._open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def parsed(out: Path) -> HtmlPage:
    page = HtmlPage()
    page.feed(out.read_text(encoding="utf-8"))
    page.close()
    return page


def plots_of(page: HtmlPage) -> list[dict[str, Any]]:
    return [json.loads(text) for attributes, text in page.scripts if "data-plot" in attributes]
