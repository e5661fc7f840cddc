"""What the cache servers of a test hold and whether they are there."""

from pathlib import Path

import psutil
import redis
from support.command import wait_for

from search_cluster.cache.server.embedded import EmbeddedServer


def server_is_alive(run_dir: Path) -> bool:
    """Whether an embedded server still holds the run's cache folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == run_dir / "cache" and b"server" in (
                process / "comm"
            ).read_bytes():
                return True
        except OSError:
            continue
    return False


def count_verdicts(url: str) -> int:
    client = redis.Redis.from_url(url)
    try:
        return sum(
            client.hlen(key) for key in client.scan_iter("lps:v:*") if not key.endswith(b":out")
        )
    finally:
        client.close()


class Outage:
    """Takes an embedded server away; a context manager that gives it back in the end."""

    def __init__(self, server: EmbeddedServer) -> None:
        assert server._guard is not None
        self._server = server
        self._guard = psutil.Process(server._guard.pid)
        self.began = False

    def begin(self) -> None:
        if not self.began:
            self.began = True
            (process,) = self._guard.children()
            self._guard.suspend()  # else it would restart the server at once
            process.kill()

    def __enter__(self) -> "Outage":
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.resume()
        wait_for(lambda: self._server._ask() == "ready")
