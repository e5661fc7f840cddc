"""A hub on this machine: the few addresses that huggingface_hub asks, with their requests kept.

It takes uploads, too: a repository is a folder for each commit, and every commit is a copy.
"""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import huggingface_hub.constants
import pytest

MODELS, DATASETS = "models", "datasets"


@dataclass
class Repository:
    """The commits of one repository."""

    commits: dict[str, Path] = field(default_factory=dict)
    """Folders by their 40-digit commits."""
    branches: dict[str, str] = field(default_factory=dict)
    """Commits by the names of branches."""
    private: bool = False
    """As it was created."""

    def commit(self, revision: str) -> str:
        """The commit of a branch, a tag or a commit; empty if there is none."""
        return self.branches.get(revision, revision if revision in self.commits else "")

    def files(self, sha: str) -> list[Path]:
        """The files of a commit."""
        return sorted(path for path in self.commits[sha].rglob("*") if path.is_file())


class LocalHub:
    """Serves folders as commits of repositories, and takes new ones.

    Args:
        hub_id: the id of a model repository that is there.
        commits: its folders by their 40-digit commits; they may be moved.
        branches: its commits by the names of branches; they may be moved.
        root: where uploads are kept; ``None``: there are none.
    """

    def __init__(
        self,
        hub_id: str = "",
        commits: dict[str, Path] | None = None,
        branches: dict[str, str] | None = None,
        *,
        root: Path | None = None,
    ) -> None:
        self.root = root
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.branches = branches if branches is not None else {}
        if hub_id:
            self.repositories[MODELS, hub_id] = Repository(commits or {}, self.branches)
        self.requests: list[str] = []
        self.refuses = 0
        """The status with which uploads are answered; 0: they are taken."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, has_body=False)

            def do_GET(self) -> None:
                hub.answer(self, has_body=True)

            def do_POST(self) -> None:
                hub.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, part: str) -> int:
        """The number of requests whose line holds that text."""
        return sum(part in line for line in self.requests)

    def head(self, kind: str, hub_id: str) -> Path:
        """The folder of a repository's newest commit."""
        repository = self.repositories[kind, hub_id]
        return repository.commits[repository.branches["main"]]

    def add(self, kind: str, hub_id: str, files: Mapping[str, bytes]) -> str:
        """Commit files on top of what is there; gives the commit."""
        lines = [{"key": "header", "value": {"summary": "by hand"}}]
        lines += [
            {"key": "file", "value": {"path": name, "content": base64.b64encode(content).decode()}}
            for name, content in files.items()
        ]
        self.repositories.setdefault((kind, hub_id), Repository())
        return self._commit(kind, hub_id, lines)

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
        path = unquote(request.path.partition("?")[0])
        for (kind, hub_id), repository in self.repositories.items():
            found = self._answer(path, kind, hub_id, repository)
            if found is not None:
                _send(request, *found, has_body=has_body)
                return
        known = any(f"/{hub_id}/" in path for _, hub_id in self.repositories)
        of_type = any(
            f"/api/{kind}/{hub_id}" in path or (kind == MODELS and f"/{hub_id}/" in path)
            for kind, hub_id in self.repositories
        )
        code = "RevisionNotFound" if known and of_type else "RepoNotFound"
        _send(request, b"", {"X-Error-Code": code}, status=404, has_body=False)

    def _answer(
        self, path: str, kind: str, hub_id: str, repository: Repository
    ) -> tuple[bytes, dict[str, str]] | None:
        api = f"/api/{kind}/{hub_id}"
        if path == api:
            path += "/revision/main"
        if path.startswith(f"{api}/revision/"):
            sha = repository.commit(path.removeprefix(f"{api}/revision/"))
            info = {"id": hub_id, "sha": sha, "siblings": []}
            if sha:
                folder = repository.commits[sha]
                names = [file.relative_to(folder).as_posix() for file in repository.files(sha)]
                info["siblings"] = [{"rfilename": name} for name in names]
            return (json.dumps(info).encode(), {}) if sha else None
        if path.startswith(f"{api}/tree/"):
            sha = repository.commit(path.removeprefix(f"{api}/tree/"))
            entries = (
                [_entry(file, repository.commits[sha]) for file in repository.files(sha)]
                if sha
                else []
            )
            return (json.dumps(entries).encode(), {}) if sha else None
        files = f"{'/datasets' if kind == DATASETS else ''}/{hub_id}/resolve/"
        if path.startswith(files):
            revision, _, name = path.removeprefix(files).partition("/")
            sha = repository.commit(revision)
            if not sha or not (repository.commits[sha] / name).is_file():
                return None
            body = (repository.commits[sha] / name).read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()}"'
            return body, {"X-Repo-Commit": sha, "ETag": etag}
        return None

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Answer what asks for a change."""
        self.requests.append(f"{request.command} {request.path}")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("Transfer-Encoding") == "chunked":
            body = _chunks(request)
        path = unquote(request.path.partition("?")[0])
        if self.refuses:
            _send(request, b"{}", {}, status=self.refuses)
            return
        made: Any = {}
        if path == "/api/repos/create":
            made = self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            made = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            asked = json.loads(body)["files"]
            made = {
                "files": [
                    {"path": item["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for item in asked
                ]
            }
        else:
            _, _, kind, owner, name, _, _ = path.split("/")
            lines = [json.loads(line) for line in body.splitlines()]
            sha = self._commit(kind, f"{owner}/{name}", lines)
            made = {"commitUrl": f"{self.address}/{owner}/{name}/commit/{sha}", "commitOid": sha}
        _send(request, json.dumps(made).encode(), {})

    def _create(self, asked: dict[str, Any]) -> dict[str, str]:
        kind = DATASETS if asked.get("type") == "dataset" else MODELS
        hub_id = f"{asked['organization']}/{asked['name']}"
        private = asked.get("visibility", "public") == "private" or asked.get("private", False)
        if (kind, hub_id) not in self.repositories:
            self.repositories[kind, hub_id] = Repository(private=private)
            self._commit(kind, hub_id, [{"key": "header", "value": {"summary": "first"}}])
        of_type = "datasets/" if kind == DATASETS else ""
        return {"url": f"{self.address}/{of_type}{hub_id}", "name": hub_id}

    def _commit(self, kind: str, hub_id: str, lines: list[dict[str, Any]]) -> str:
        assert self.root is not None, "this hub takes no uploads"
        repository = self.repositories[kind, hub_id]
        text = json.dumps([kind, hub_id, len(repository.commits), lines])
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        folder = self.root / kind / hub_id / sha
        if repository.branches:
            shutil.copytree(repository.commits[repository.branches["main"]], folder)
        folder.mkdir(parents=True, exist_ok=True)
        for line in lines:
            if line["key"] == "deletedFile":
                (folder / line["value"]["path"]).unlink()
            elif line["key"] == "file":
                file = folder / line["value"]["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(line["value"]["content"]))
        repository.commits[sha] = folder
        repository.branches["main"] = sha
        return sha


def point_at(hub: LocalHub, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let huggingface_hub of this process ask a local hub, with a cache of its own."""
    for name, value in {
        "ENDPOINT": hub.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(cache),
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)


def _entry(file: Path, folder: Path) -> dict[str, object]:
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return {
        "type": "file",
        "path": file.relative_to(folder).as_posix(),
        "size": len(content),
        "oid": sha256[:40],
        "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130},
    }


def _send(
    request: BaseHTTPRequestHandler,
    body: bytes,
    headers: Mapping[str, str],
    *,
    status: int = 200,
    has_body: bool = True,
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if has_body:
        request.wfile.write(body)


def _chunks(request: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    return body
