"""A dashboard in a process of its own, as a user starts it."""

import contextlib
import http.client
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.command import start


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A running dashboard."""

    url: str
    greeting: str

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """One request, sent as it is; ``Host`` may be anything."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(link):
            link.request(method, path, headers=headers)
            response = link.getresponse()
            return Answer(
                status=response.status, headers=dict(response.getheaders()), body=response.read()
            )


@contextlib.contextmanager
def running_dashboard(*arguments: str | Path, **environment: str) -> Iterator[Dashboard]:
    """``search-cluster dashboard`` on a free port; Ctrl-C ends it without an error."""
    process = start(
        "search-cluster", "dashboard", *map(str, arguments), "--port", "0", **environment
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        found = re.search(r"http://\S+", greeting)
        if found is None:
            out, err = process.communicate(timeout=30)
            raise AssertionError(f"the dashboard did not start: {greeting}{out}{err}")
        yield Dashboard(url=found[0], greeting=greeting)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
