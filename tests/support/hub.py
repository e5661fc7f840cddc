"""A hub on this machine: the few addresses that huggingface_hub asks, with their requests kept."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class LocalHub:
    """Serves folders as commits of one repository.

    Args:
        hub_id: its id.
        commits: folders by their 40-digit commits.
        branches: commits by the names of branches; they may be moved.
    """

    def __init__(self, hub_id: str, commits: dict[str, Path], branches: dict[str, str]) -> None:
        self.hub_id = hub_id
        self.commits = commits
        self.branches = branches
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, has_body=False)

            def do_GET(self) -> None:
                hub.answer(self, has_body=True)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, part: str) -> int:
        """The number of requests whose line holds that text."""
        return sum(part in line for line in self.requests)

    @contextmanager
    def running(self) -> Iterator["LocalHub"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, has_body: bool) -> None:
        self.requests.append(f"{request.command} {request.path}")
        path = request.path.partition("?")[0]
        if path == f"/api/models/{self.hub_id}":
            path += "/revision/main"
        info, tree = (f"/api/models/{self.hub_id}/{kind}/" for kind in ("revision", "tree"))
        files = f"/{self.hub_id}/resolve/"
        headers: dict[str, str] = {}
        if path.startswith(info) and (sha := self._commit(path.removeprefix(info))):
            body = json.dumps({"id": self.hub_id, "sha": sha, "siblings": []}).encode()
        elif path.startswith(tree) and (sha := self._commit(path.removeprefix(tree))):
            body = json.dumps([self._entry(file) for file in self._files(sha)]).encode()
        elif path.startswith(files):
            revision, _, name = path.removeprefix(files).partition("/")
            sha = self._commit(revision)
            body = (self.commits[sha] / name).read_bytes()
            headers = {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        else:
            request.send_response(404)
            request.send_header("X-Error-Code", "RevisionNotFound")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if has_body:
            request.wfile.write(body)

    def _commit(self, revision: str) -> str:
        return self.branches.get(revision, revision if revision in self.commits else "")

    def _files(self, sha: str) -> list[Path]:
        return sorted(self.commits[sha].iterdir())

    @staticmethod
    def _entry(file: Path) -> dict[str, object]:
        content = file.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        return {
            "type": "file",
            "path": file.name,
            "size": len(content),
            "oid": sha256[:40],
            "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130},
        }
