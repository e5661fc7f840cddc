"""A store on a server that answers with errors, or with nonsense, in the middle of its work.

It goes on, and says so. The server is a fake of the few commands that a store sends, which can be
told to refuse each of them in any words.
"""

import contextlib
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.open import require_usable_url
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.store import Claim, StoreErrors
from search_cluster.errors import CacheError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

CONTEXT = VerdictContext(
    schema=1,
    model_fingerprint="f",
    task="t",
    task_version="1",
    decoding="greedy",
    tie_threshold=0.01,
    num_layers=6,
)
IDENTITY = LayerPath.identity(6)
VERDICT = Verdict(reward=1.0, margin=0.1, output="Paris", num_layer_tokens=60)
READS, WRITES = {b"HMGET"}, {b"HSETNX", b"SET", b"DEL", b"PEXPIRE"}
PASSWORD = "s3cr3t-p4ss"


class FakeServer(socketserver.ThreadingTCPServer):
    """Keeps hashes and strings.

    `refuse` makes it answer some commands, or all, with a line of one's own.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.strings: dict[bytes, bytes] = {}
        self.refuse: Callable[[bytes], bytes | None] = lambda name: None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.server_address[1]}/0"

    def refuse_all(self, line: bytes, names: set[bytes] | None = None) -> None:
        self.refuse = lambda name: line if names is None or name in names else None

    def answer(self, name: bytes, *arguments: bytes) -> bytes:
        if (line := self.refuse(name)) is not None:
            return line + b"\r\n"
        match name, arguments:
            case (b"HMGET", (key, *fields)):
                values = [self.hashes.get(key, {}).get(field) for field in fields]
                return b"*%d\r\n" % len(values) + b"".join(map(_bulk, values))
            case (b"HSETNX", (key, field, value)):
                is_new = field not in self.hashes.setdefault(key, {})
                self.hashes[key].setdefault(field, value)
                return b":%d\r\n" % is_new
            case (b"SET", (key, value, *flags)):
                if b"NX" in flags and key in self.strings:
                    return b"$-1\r\n"
                self.strings[key] = value
                return b"+OK\r\n"
            case (b"DEL", (key,)):
                return b":%d\r\n" % (self.strings.pop(key, None) is not None)
            case (b"PEXPIRE", (key, _)):
                return b":%d\r\n" % (key in self.strings)
            case ((b"PING" | b"AUTH" | b"SELECT" | b"CLIENT"), _):
                return b"+PONG\r\n" if name == b"PING" else b"+OK\r\n"
        return b"-ERR unknown command\r\n"


class _Connection(socketserver.StreamRequestHandler):
    server: FakeServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while line := self.rfile.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(self.rfile.readline()[1:])
                    words.append(self.rfile.read(size + 2)[:-2])
                self.wfile.write(self.server.answer(words[0].upper(), *words[1:]))


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def store(server: FakeServer) -> Iterator[RedisStore]:
    with contextlib.closing(RedisStore(server.url, context=CONTEXT, probe_after_s=0.05)) as opened:
        yield opened


def wait_for(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


NO_ANSWER = [
    (b"-LOADING Redis is loading the dataset in memory", "loading the dataset in memory"),
    (b"-NOAUTH Authentication required.", "Authentication required"),
    (
        b"-WRONGPASS invalid username-password pair or user is disabled.",
        "invalid username-password pair",
    ),
    (b"-ERR max number of clients reached", "max number of clients"),
    (b"HTTP/1.1 400 Bad Request", "Protocol error"),
    (b"*9999999999", ""),
]
REFUSALS = [
    b"-OOM command not allowed when used memory > 'maxmemory'.",
    b"-READONLY You can't write against a read only replica.",
    b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "
    b"disk.",
    b"-NOREPLICAS Not enough good replicas to write.",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"-NOPERM User ann has no permissions to run the command",
    b"-CLUSTERDOWN The cluster is down",
    b"-BUSY Redis is busy running a script.",
]


@pytest.mark.parametrize(("line", "reason"), NO_ANSWER)
def test_a_server_that_refuses_everybody_is_done_without_until_it_returns(
    server: FakeServer,
    store: RedisStore,
    caplog: pytest.LogCaptureFixture,
    line: bytes,
    reason: str,
) -> None:
    store.put_many([("e0", IDENTITY, VERDICT)])
    server.refuse_all(line)
    for number in range(1, 9):
        assert store.claim_many([(f"e{number}", IDENTITY)]) == [Claim.OURS]
        store.put_many([(f"e{number}", IDENTITY, VERDICT)])
        store.keep_claims()
    assert store.errors.num_buffered == 8
    assert store.errors.num_failed >= 2
    (record,) = caplog.records
    assert "going on without it" in record.getMessage()
    # Parsers of the client spell it differently.
    assert reason.lower() in record.getMessage().lower()
    assert PASSWORD not in caplog.text
    server.refuse_all(b"", set())
    wait_for(
        lambda: store.get_many([("e0", IDENTITY)]) == [VERDICT] and not store.errors.num_buffered
    )
    assert store.get_many([(f"e{number}", IDENTITY) for number in range(1, 9)]) == [VERDICT] * 8
    assert [record.getMessage().rpartition(" has ")[2] for record in caplog.records[1:]] == [
        "returned"
    ]
    assert store.errors.num_dropped == 0


@pytest.mark.parametrize("line", REFUSALS)
def test_refused_writes_wait_and_reads_go_on(
    server: FakeServer, store: RedisStore, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    store.put_many([("e0", IDENTITY, VERDICT)])
    server.refuse_all(line, WRITES)
    for number in range(1, 9):
        assert store.claim_many([("e0", IDENTITY), (f"e{number}", IDENTITY)]) == [
            VERDICT,
            Claim.OURS,
        ]
        store.put_many([(f"e{number}", IDENTITY, VERDICT)])
    assert store.errors.num_buffered == 8
    (record,) = caplog.records
    assert "refuses writes: " in record.getMessage()
    assert line.decode().split(" ", 1)[1] in record.getMessage()
    server.refuse_all(b"", set())
    wait_for(
        lambda: store.get_many([("e0", IDENTITY)]) == [VERDICT] and not store.errors.num_buffered
    )
    assert store.get_many([(f"e{number}", IDENTITY) for number in range(1, 9)]) == [VERDICT] * 8


@pytest.mark.parametrize("line", REFUSALS)
def test_refused_reads_are_misses_that_are_said_once_and_counted(
    server: FakeServer, store: RedisStore, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    store.put_many([("e0", IDENTITY, VERDICT)])
    server.refuse_all(line, READS)
    for number in range(8):
        assert store.claim_many([("e0", IDENTITY)]) == [Claim.OURS]
        store.put_many([(f"e{number}", IDENTITY, VERDICT)])
    assert store.errors.num_failed >= 8
    assert store.errors.num_buffered == 0
    (record,) = caplog.records
    assert "refuses reads: " in record.getMessage()
    assert "what it holds is computed again" in record.getMessage()
    server.refuse_all(b"", set())
    assert store.get_many([("e0", IDENTITY), ("e7", IDENTITY)]) == [VERDICT] * 2
    server.refuse_all(line, READS)
    store.get_many([("e0", IDENTITY)])
    assert len(caplog.records) == 2  # it had been well in between


def test_a_server_that_comes_back_empty_is_filled_again(
    server: FakeServer, store: RedisStore
) -> None:
    assert store.claim_many([("e0", IDENTITY), ("e1", IDENTITY)]) == [Claim.OURS] * 2
    store.put_many([("e0", IDENTITY, VERDICT)])
    server.hashes.clear()
    server.strings.clear()
    assert store.claim_many([("e0", IDENTITY), ("e1", IDENTITY)]) == [Claim.OURS] * 2
    store.keep_claims()
    store.put_many([("e0", IDENTITY, VERDICT), ("e1", IDENTITY, VERDICT)])
    assert store.get_many([("e0", IDENTITY), ("e1", IDENTITY)]) == [VERDICT] * 2
    assert store.errors == StoreErrors()


@pytest.mark.parametrize("line", [line for line, _ in NO_ANSWER] + REFUSALS)
@pytest.mark.parametrize("names", [None, READS, WRITES])
def test_at_the_start_any_of_it_is_an_error_that_names_the_server(
    server: FakeServer, line: bytes, names: set[bytes] | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.refuse_all(line, names)
    with pytest.raises(
        CacheError, match=r"cache server redis://:\*\*\*@127.0.0.1:\d+/0 can't be used: "
    ) as error:
        RedisStore(server.url, context=CONTEXT)
    assert "check that it runs, its user and password" in str(error.value)
    assert PASSWORD not in str(error.value) + caplog.text


def test_writes_that_are_refused_to_the_end_are_said_once_and_wait_on_disk(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(RedisStore(server.url, context=CONTEXT, spool_dir=tmp_path)) as store:
        server.refuse_all(REFUSALS[0], WRITES)
        store.put_many([(f"e{number}", IDENTITY, VERDICT) for number in range(3)])
    refused, waiting = (record.getMessage() for record in caplog.records)
    assert "refuses writes: command not allowed" in refused
    (spool,) = tmp_path.iterdir()
    assert waiting.endswith(f"did not take wait in {spool} until the same command is run again")
    server.refuse_all(b"", set())
    with contextlib.closing(RedisStore(server.url, context=CONTEXT, spool_dir=tmp_path)) as store:
        assert store.get_many([(f"e{number}", IDENTITY) for number in range(3)]) == [VERDICT] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_asked_before_anything_is_loaded(server: FakeServer) -> None:
    require_usable_url(server.url)
    server.refuse_all(b"-WRONGPASS invalid username-password pair or user is disabled.")
    with pytest.raises(CacheError, match="can't be used: invalid username-password pair"):
        require_usable_url(server.url)
    require_usable_url("embedded")
    require_usable_url("none")
