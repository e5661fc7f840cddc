"""A reverse proxy that serves a dashboard below a path of its own, as JupyterHub's does."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.dashboard_process import Dashboard

PREFIX = "/user/x/proxy/8787/"
KEPT = ("Accept-Encoding", "Host", "If-None-Match")
"""Headers that are handed on; the host stays as the browser wrote it."""


@contextlib.contextmanager
def behind_prefix(dashboard: Dashboard) -> Iterator[Dashboard]:
    """The same dashboard below `PREFIX` on another port; all else is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(PREFIX):
                self.send_error(404, "nothing of the dashboard's")
                return
            link = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=60)
            with contextlib.closing(link):
                headers = {name: self.headers[name] for name in KEPT if name in self.headers}
                link.request("GET", "/" + self.path.removeprefix(PREFIX), headers=headers)
                response = link.getresponse()
                body = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Says nothing: only failures of tests are of interest."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield replace(dashboard, url=f"http://127.0.0.1:{server.server_port}{PREFIX}")
        finally:
            server.shutdown()
