"""A private Redis-protocol server for one run.

It has a unix socket, a random password, and an append-only file in the run folder. The server lives
as long as the `EmbeddedServer` that started it; when this process dies, by whatever signal, its
guard (`guard`) stops it cleanly. No TCP port is opened.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from search_cluster.cache.server import guard as server_guard
from search_cluster.cache.server.binary import find_server_binary
from search_cluster.cache.server.guard import END_OF_CONFIG, READY, STOP, STOP_GRACE_S
from search_cluster.errors import CacheError
from search_cluster.lock import lock_server_folder

LOG_NAME = "server.log"
MAX_SOCKET_PATH_BYTES = 100
"""The longest path of a socket: sockaddr_un holds 107 bytes on Linux and 103 on macOS."""
START_TIMEOUT_S = 30.0
"""The seconds without an answer after which a start has failed; a server that says that it is
loading its file is given all the time it wants."""
ANSWER_TIMEOUT_S = 2.0
POLL_S = 0.02
LOG_TAIL_CHARS = 2000


class EmbeddedServer:
    """Context manager that runs a server over ``folder``.

    Verdicts in it are there again at the next start.

    Args:
        folder: where the append-only file, the log and the lock are; made if missing. One server at
            a time uses it.
        binary: the server program; ``None`` stands for what `find_server_binary` finds.

    Raises:
        CacheError: on entering: no server program, a folder that is in use or can't be written to,
            damaged data.
    """

    def __init__(self, folder: Path, *, binary: Path | None = None) -> None:
        self._folder = folder.absolute()
        self._binary = binary
        self._password = secrets.token_hex(32)
        self._private_dir: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self._folder)!r})"

    @property
    def url(self) -> str:
        """The ``unix://`` URL, with its password, so it is not for logs."""
        return f"unix://:{self._password}@{quote(str(self._socket_path))}"

    @property
    def _socket_path(self) -> Path:
        if self._private_dir is None:
            raise CacheError(f"{self} is not running; enter it with a with statement first")
        return self._private_dir / "s"

    def __enter__(self) -> "EmbeddedServer":
        if self._guard is not None:
            raise CacheError(f"{self} is running already; enter it once")
        try:
            log_start = self._launch()
            self._wait_until_ready(log_start)
        except OSError as error:
            self.stop()
            raise CacheError(
                f"the embedded cache server in {self._folder} can't be started: {error}; make room "
                "or choose another run folder, or set the redis url to 'none'"
            ) from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the server write everything and end. Idempotent."""
        if self._guard is not None:
            self._tell_guard(STOP)
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            try:
                self._guard.wait(STOP_GRACE_S + 5.0)
            except subprocess.TimeoutExpired:
                self._guard.kill()  # Its death ends the server, too.
                self._guard.wait()
            self._guard = None
        if self._private_dir is not None:
            shutil.rmtree(self._private_dir, ignore_errors=True)
            self._private_dir = None

    def _launch(self) -> int:
        """Start the guard, and return where its part of the log begins."""
        binary = self._binary or find_server_binary()
        lock_fd = lock_server_folder(self._folder)
        try:
            self._private_dir = _make_private_dir()
            with (self._folder / LOG_NAME).open("ab") as log:
                log_start = log.tell()
                arguments = [
                    str(binary),
                    str(self._folder),
                    str(self._private_dir),
                    str(lock_fd),
                    str(os.getpid()),
                ]
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(server_guard.__file__)), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock_fd,),
                    # Ctrl-C is for the driver; the server outlives it to take its last writes.
                    start_new_session=True,
                    bufsize=0,
                )
        finally:
            os.close(lock_fd)  # From now on the guard and the server hold the lock.
        self._tell_guard(self._config().encode() + END_OF_CONFIG)
        return log_start

    def _config(self) -> str:
        """The server's configuration; JSON strings are its quoting, too."""
        return "\n".join(
            [
                "port 0",
                f"unixsocket {json.dumps(str(self._socket_path), ensure_ascii=False)}",
                "unixsocketperm 700",
                f"requirepass {self._password}",
                "daemonize no",
                "databases 1",
                'save ""',
                "appendonly yes",
                "appendfsync everysec",
                "aof-load-truncated yes",
                # Plain commands: servers of other versions and makers can load them.
                "aof-use-rdb-preamble no",
                "maxmemory 0",
                "maxmemory-policy noeviction",
                "",
            ]
        )

    def _tell_guard(self, message: bytes) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        # A guard that is gone is noticed where it is waited for.
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(message)

    def _wait_until_ready(self, log_start: int) -> None:
        assert self._guard is not None
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while (answer := self._ask()) != "ready":
            if answer == "loading":
                give_up_at = time.monotonic() + START_TIMEOUT_S
            if self._guard.poll() is not None or time.monotonic() > give_up_at:
                raise CacheError(
                    f"the embedded cache server in {self._folder} did not start; its log ends "
                    "with:\n"
                    f"{self._log_tail(log_start)}\n"
                    "if its data are damaged, move the folder away (its verdicts will be computed "
                    "again); if the disk "
                    "is full, make room; or set the redis url to 'none'"
                )
            time.sleep(POLL_S)
        self._tell_guard(READY)

    def _ask(self) -> str:
        """Whether the server is ``ready``, ``loading`` or ``silent``.

        The password proves that the answer is our server's.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_TIMEOUT_S)
            try:
                link.connect(str(self._socket_path))
                link.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := link.recv(1024)):
                    answer += received
            except OSError:
                return "silent"
        if b"+PONG" in answer:
            return "ready"
        return "loading" if b"-LOADING" in answer else "silent"

    def _log_tail(self, log_start: int) -> str:
        with (self._folder / LOG_NAME).open("rb") as log:
            log.seek(log_start)
            return log.read().decode("utf-8", "replace")[-LOG_TAIL_CHARS:].strip() or "(nothing)"


def _make_private_dir() -> Path:
    """A new directory that only this user can enter, with room for a socket's name."""
    for parent in (tempfile.gettempdir(), "/tmp"):
        if len(os.fsencode(parent)) + len("/lps-cache-12345678/s") <= MAX_SOCKET_PATH_BYTES:
            return Path(tempfile.mkdtemp(prefix="lps-cache-", dir=parent))
    raise AssertionError("/tmp is short enough for a socket")
