"""The embedded server against real processes: persistence, orphans, locks, damage, races."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import redis

from search_cluster.cache.server import binary as server_binary
from search_cluster.cache.server.binary import find_server_binary, server_version
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.errors import CacheError

pytestmark = pytest.mark.server

PARENT = """
import os, sys, threading, time
from pathlib import Path
import redis
from search_cluster.cache.server.embedded import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]))
starter = threading.Thread(target=server.__enter__)  # Its end must not take the server along.
starter.start()
starter.join()
client = redis.Redis.from_url(server.url)
client.set("key", "value")
if "--fork" in sys.argv and os.fork() == 0:
    time.sleep(60)
    os._exit(0)
socket = client.config_get("unixsocket")["unixsocket"]
print(client.info("server")["process_id"], socket, flush=True)
sys.stdin.readline()
client.set("key", "last")
client.close()
server.stop()
"""


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def connected(server: EmbeddedServer) -> Iterator["redis.Redis[bytes]"]:
    with contextlib.closing(
        redis.Redis.from_url(server.url, protocol=2, socket_timeout=5)
    ) as client:
        yield client


def process_of(server: EmbeddedServer) -> psutil.Process:
    with connected(server) as client:
        return psutil.Process(int(client.info("server")["process_id"]))


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may go between any two looks at it
        return True


def write(server: EmbeddedServer, key: str, value: str) -> None:
    with connected(server) as client:
        client.set(key, value)


def read(server: EmbeddedServer, key: str) -> bytes | None:
    with connected(server) as client:
        return client.get(key)


def append_only_file(folder: Path) -> Path:
    (path,) = (folder / "appendonlydir").glob("*.incr.aof")
    return path


@contextlib.contextmanager
def running_parent(
    folder: Path, *flags: str
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, Path]]:
    """Another process that holds a server: it, its server, the server's private directory."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid, socket_path = parent.stdout.readline().split()
        yield parent, psutil.Process(int(pid)), Path(socket_path).parent


class TestPersistence:
    def test_a_clean_stop_keeps_everything(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            write(server, "key", "value")
        with EmbeddedServer(tmp_path) as server:
            assert read(server, "key") == b"value"

    def test_servers_of_different_makers_read_each_others_files(self, tmp_path: Path) -> None:
        if (debian := shutil.which("redis-server")) is None:
            pytest.skip("no redis-server on the PATH")
        for number, binary in enumerate([find_server_binary(), Path(debian), find_server_binary()]):
            with EmbeddedServer(tmp_path, binary=binary) as server:
                assert [read(server, f"key{earlier}") for earlier in range(number)] == [
                    b"value"
                ] * number
                write(server, f"key{number}", "value")

    def test_a_killed_server_comes_back_with_its_data_on_the_same_url(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            url = server.url
            for number in range(2):
                write(server, f"key{number}", "value")
                killed = process_of(server)
                killed.kill()
                wait_for(lambda killed=killed: is_gone(killed))
                wait_for(lambda: reads_again(server))
                assert process_of(server).pid != killed.pid
            assert server.url == url
            assert [read(server, f"key{number}") for number in range(2)] == [b"value"] * 2
            log = (tmp_path / "server.log").read_text()
            assert "restart 1 of at most 5" in log

    def test_a_truncated_file_loses_only_its_tail(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            write(server, "key", "value")
            write(server, "cut", "x" * 100)
        file = append_only_file(tmp_path)
        file.write_bytes(file.read_bytes()[:-50])
        with EmbeddedServer(tmp_path) as server:
            assert (read(server, "key"), read(server, "cut")) == (b"value", None)
            write(server, "after", "value")
        with EmbeddedServer(tmp_path) as server:
            assert read(server, "after") == b"value"

    def test_a_file_damaged_in_the_middle_is_an_error_that_names_the_way_out(
        self, tmp_path: Path
    ) -> None:
        with EmbeddedServer(tmp_path) as server:
            write(server, "key", "value")
        file = append_only_file(tmp_path)
        file.write_bytes(b"garbage\r\n" + file.read_bytes())
        with pytest.raises(
            CacheError,
            match=r"(?s)did not start; its log ends with:.*Bad file format.*move the folder",
        ):
            EmbeddedServer(tmp_path).__enter__()
        assert not processes_for(tmp_path)


def reads_again(server: EmbeddedServer) -> bool:
    try:
        return read(server, "key0") == b"value"
    except redis.ConnectionError:
        return False


def processes_for(folder: Path) -> list[psutil.Process]:
    """Guards and servers that still run for a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if str(folder) in (process.info["cmdline"] or []) or process.info["cwd"] == str(folder)
    ]


class TestNoOrphans:
    def test_kill_9_of_the_parent_stops_the_server_and_keeps_the_data(self, tmp_path: Path) -> None:
        with running_parent(tmp_path) as (parent, process, private_dir):
            assert private_dir.is_dir()
            guard = process.parent()
            assert guard is not None
            parent.kill()
            parent.wait()
            with EmbeddedServer(
                tmp_path
            ) as server:  # At once: waits for the dying server, is not refused.
                assert read(server, "key") == b"value"
            wait_for(lambda: is_gone(process) and is_gone(guard))
            wait_for(lambda: not private_dir.exists())
        assert processes_for(tmp_path) == []

    def test_kill_9_of_the_guard_stops_the_server(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            write(server, "key", "value")
            process = process_of(server)
            guard = process.parent()
            assert guard is not None
            guard.kill()
            wait_for(lambda: is_gone(process))
        with EmbeddedServer(tmp_path) as server:
            assert read(server, "key") == b"value"

    def test_the_folder_stays_locked_until_the_server_itself_is_gone(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            process = process_of(server)
            guard = process.parent()
            assert guard is not None
            process.suspend()
            try:
                guard.kill()
                wait_for(lambda: is_gone(guard))
                with pytest.raises(CacheError, match="is in use"), EmbeddedServer(tmp_path):
                    pass
            finally:
                process.resume()
            wait_for(lambda: is_gone(process))
            with EmbeddedServer(tmp_path) as other:
                write(other, "key", "value")

    def test_ctrl_c_leaves_the_server_to_take_the_last_writes(self, tmp_path: Path) -> None:
        with running_parent(tmp_path) as (parent, process, private_dir):
            guard = process.parent()
            assert guard is not None
            assert os.getpgid(process.pid) != os.getpgid(parent.pid)
            assert os.getpgid(guard.pid) != os.getpgid(parent.pid)
            parent.communicate("\n", timeout=20)
            assert parent.returncode == 0
            assert is_gone(process)
            assert is_gone(guard)
            assert not private_dir.exists()
        with EmbeddedServer(tmp_path) as server:
            assert read(server, "key") == b"last"

    def test_an_error_inside_the_block_stops_the_server(self, tmp_path: Path) -> None:
        processes: list[psutil.Process] = []

        def use_and_fail() -> None:
            with EmbeddedServer(tmp_path) as server:
                processes.append(process_of(server))
                raise KeyError("from inside")

        with pytest.raises(KeyError, match="from inside"):
            use_and_fail()
        assert is_gone(processes[0])

    @pytest.mark.parametrize("ends_by_itself", [True, False])
    def test_a_forked_child_of_the_parent_does_not_keep_the_server_alive(
        self, tmp_path: Path, ends_by_itself: bool
    ) -> None:
        """The child inherits every pipe of the parent."""
        with running_parent(tmp_path, "--fork") as (parent, process, private_dir):
            (child,) = [
                child
                for child in psutil.Process(parent.pid).children()
                if child.cmdline()[1] == "-c"
            ]
            try:
                if ends_by_itself:
                    assert parent.stdin is not None
                    parent.stdin.write("\n")
                    parent.stdin.flush()
                else:
                    parent.kill()
                assert parent.wait(timeout=8) == (0 if ends_by_itself else -signal.SIGKILL)
                wait_for(lambda: is_gone(process), timeout_s=8)
                wait_for(lambda: not private_dir.exists(), timeout_s=8)
                assert not is_gone(child)
            finally:
                child.kill()


class TestOneServerPerFolder:
    def test_the_second_is_refused_and_the_first_goes_on(self, tmp_path: Path) -> None:
        with running_parent(tmp_path) as (parent, _, _):
            with pytest.raises(
                CacheError,
                match=rf"is in use by the cache server of process {parent.pid}; a folder has one",
            ):
                EmbeddedServer(tmp_path).__enter__()
            parent.communicate("\n", timeout=20)
        with EmbeddedServer(tmp_path) as server:
            assert read(server, "key") == b"last"
            with pytest.raises(CacheError, match=f"process {os.getpid()}"):
                EmbeddedServer(tmp_path).__enter__()
            with pytest.raises(CacheError, match="is running already"):
                server.__enter__()
            assert read(server, "key") == b"last"

    @pytest.mark.parametrize("stale", ["999999999\n", "", "garbage", "-1\n", "1\n"])
    def test_a_lock_file_of_a_dead_run_is_nothing(self, tmp_path: Path, stale: str) -> None:
        (tmp_path / "server.lock").write_text(stale)
        with EmbeddedServer(tmp_path) as server:
            write(server, "key", "value")
        assert (tmp_path / "server.lock").read_text() == f"{os.getpid()}\n"

    def test_forty_at_once_all_start(self, tmp_path: Path) -> None:
        def use(number: int) -> bytes | None:
            with EmbeddedServer(tmp_path / str(number)) as server:
                write(server, "key", str(number))
                everybody_runs.wait(timeout=120)
                return read(server, "key")

        everybody_runs = threading.Barrier(40)
        with ThreadPoolExecutor(40) as pool:
            assert list(pool.map(use, range(40))) == [str(number).encode() for number in range(40)]


class TestPrivacy:
    def test_only_a_private_socket_and_no_port(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            process = process_of(server)
            assert process.net_connections(kind="inet") == []
            (socket_path,) = {
                link.laddr for link in process.net_connections(kind="unix") if link.laddr
            }
            private_dir = Path(socket_path).parent
            assert private_dir.stat().st_mode & 0o777 == 0o700
            assert private_dir.parent == Path(tempfile.gettempdir())
            with (
                contextlib.closing(
                    redis.Redis(unix_socket_path=socket_path, protocol=2)
                ) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.ping()
        assert not private_dir.exists()
        with pytest.raises(CacheError, match="is not running"):
            server.url  # noqa: B018

    def test_the_password_is_on_no_command_line_and_in_no_file(self, tmp_path: Path) -> None:
        with EmbeddedServer(tmp_path) as server:
            password = server.url.partition(":")[2].partition(":")[2].partition("@")[0]
            assert len(password) == 64
            process = process_of(server)
            guard = process.parent()
            assert guard is not None
            for shown in (process, guard):
                assert password not in " ".join([*shown.cmdline(), *shown.environ().values()])
            (socket_path,) = {
                link.laddr for link in process.net_connections(kind="unix") if link.laddr
            }
            assert [file.name for file in Path(socket_path).parent.iterdir()] == ["s"]
            write(server, "key", "value")
            assert password not in repr(server)
        for file in tmp_path.rglob("*"):
            assert file.is_dir() or password.encode() not in file.read_bytes()

    def test_a_deep_temporary_directory_and_a_deep_odd_run_folder_are_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deep = tmp_path / ("d" * 100)
        deep.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(deep))
        folder = tmp_path / ("f" * 150) / 'a "quoted" name é'
        with EmbeddedServer(folder) as server:
            write(server, "key", "value")
        with EmbeddedServer(folder) as server:
            assert read(server, "key") == b"value"

    def test_an_odd_temporary_directory_is_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tempfile.TemporaryDirectory(prefix='é "?# ', dir="/tmp") as odd:
            monkeypatch.setattr(tempfile, "tempdir", odd)
            with EmbeddedServer(tmp_path) as server:
                write(server, "key", "value")
                assert read(server, "key") == b"value"


class TestBadPlaces:
    def test_a_folder_that_can_not_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(
            CacheError,
            match=r"cache folder .*file/cache can't be written to: Not a directory; .*make room",
        ):
            EmbeddedServer(tmp_path / "file" / "cache").__enter__()

    @pytest.mark.parametrize(
        ("options", "fill", "message"),
        [
            ("ro", "true", "Read-only file system"),
            ("size=64k", "head -c 70000 /dev/zero > FOLDER/x || true", "No space left"),
        ],
    )
    def test_a_read_only_or_full_disk(
        self, tmp_path: Path, options: str, fill: str, message: str
    ) -> None:
        folder = tmp_path / "disk"
        folder.mkdir()
        script = (
            "from pathlib import Path; "
            "from search_cluster.cache.server.embedded import EmbeddedServer; "
            f"EmbeddedServer(Path({str(folder / 'cache')!r})).__enter__()"
        )
        filled = fill.replace("FOLDER", str(folder))
        mount = f"mount -t tmpfs -o {options} none {folder} && {{ {filled}; }} && echo mounted"
        ran = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{mount} && "$0" -c "$1"', sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
        )
        if "mounted" not in ran.stdout:
            pytest.skip("may not mount a file system here")
        assert "search_cluster.errors.CacheError" in ran.stderr
        assert message in ran.stderr


class TestBinary:
    def test_the_bundled_program_runs(self) -> None:
        binary = find_server_binary()
        assert binary.name == "valkey-server"
        assert server_version(binary) >= (6, 2)

    def test_without_the_package_the_path_is_searched(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if (debian := shutil.which("redis-server")) is None:
            pytest.skip("no redis-server on the PATH")
        monkeypatch.setattr(server_binary, "BUNDLING_PACKAGE", "no-such-package-anywhere")
        monkeypatch.setattr(server_binary, "PROGRAM_NAMES", ("redis-server",))
        assert find_server_binary() == Path(debian)

    def test_without_any_program_the_error_names_the_way_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_binary, "BUNDLING_PACKAGE", "no-such-package-anywhere")
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(
            CacheError,
            match=r"no server program .*neither the package .*; install the extra 'search'",
        ):
            find_server_binary()

    def test_a_program_that_is_too_old_or_no_server_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, text in (
            ("valkey-server", "hello"),
            ("redis-server", "Redis server v=5.0.7 sha=0"),
        ):
            (tmp_path / name).write_text(f"#!/bin/sh\necho '{text}'\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(server_binary, "BUNDLING_PACKAGE", "no-such-package-anywhere")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(
            CacheError, match=r"says 'hello\\n' for its version.*redis-server is older than 6.2"
        ):
            find_server_binary()

    def test_a_program_that_ends_at_once_is_an_error_with_its_words(self, tmp_path: Path) -> None:
        program = tmp_path / "server"
        program.write_text("#!/bin/sh\necho out of order\nexit 3\n")
        program.chmod(0o755)
        with pytest.raises(
            CacheError, match=r"(?s)did not start; its log ends with:\s*out of order"
        ):
            EmbeddedServer(tmp_path / "folder", binary=program).__enter__()

    def test_a_program_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(CacheError, match=r"(?s)did not start.*No such file"):
            EmbeddedServer(tmp_path, binary=tmp_path / "nothing").__enter__()
