"""One suite over every verdict store.

They are memory, the embedded server, Debian's redis-server with ACL users, and a cluster.
"""

import contextlib
import json
import logging
import pickle
import random
import shlex
import shutil
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgpack
import psutil
import pytest
import redis

from search_cluster.cache.codec import VerdictDecodeError, decode_verdict, encode_verdict
from search_cluster.cache.keys import (
    CLAIM_PREFIX,
    KEY_PREFIX,
    STORED_APART,
    VALUE_SCHEMA,
    VerdictContext,
    apart_key,
    context_key,
    example_key,
)
from search_cluster.cache.memory import MemoryStore
from search_cluster.cache.open import open_store
from search_cluster.cache.redis.census import take_census
from search_cluster.cache.redis.client import RedisClient
from search_cluster.cache.redis.spool import SUFFIX, Spool
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cache.store import Claim, StoreErrors, VerdictStore
from search_cluster.errors import CacheError, ConfigError, InvalidPathError
from search_cluster.paths.codec import encode_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

pytestmark = pytest.mark.server

CONTEXT = VerdictContext(
    schema=1,
    model_fingerprint="f",
    task="t",
    task_version="1",
    decoding="greedy",
    tie_threshold=0.01,
    num_layers=30,
)
IDENTITY = LayerPath.identity(30)
SHORTER = LayerPath(tuple(range(29)), 30)
SHORT = Verdict(reward=1.0, margin=0.1, output="Paris", num_layer_tokens=3000)
LONG = Verdict(
    reward=0.25, margin=None, output="a long answer, " * 200 + "né \x00 €", num_layer_tokens=2**40
)
PASSWORD = "s3cr3t-p4ss"
ADMIN_PASSWORD = "adm1n"


@dataclass
class Server:
    """A running server, seen from a test."""

    url: str
    """The URL of the store's user."""
    admin: "redis.Redis[bytes]"
    """A client that may do everything."""
    lose: Callable[[], None]
    """Kills it with signal 9; the server stays away until `revive`."""
    revive: Callable[[], None]
    """Starts it again on the same socket or port, over the same folder."""

    pids: Callable[[], list[int]]

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """While this holds, the server takes connections and answers nothing."""
        processes = [psutil.Process(pid) for pid in self.pids()]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()


def wait_for(condition: Callable[[], object], timeout_s: float = 90.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


def client(url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(url, protocol=2, socket_timeout=5)


def answers(admin: "redis.Redis[bytes]") -> bool:
    try:
        return bool(admin.ping())
    except redis.RedisError:
        return False


@contextlib.contextmanager
def embedded_server(folder: Path) -> Iterator[Server]:
    with EmbeddedServer(folder) as server, contextlib.closing(client(server.url)) as admin:
        process = psutil.Process(int(admin.info("server")["process_id"]))
        guard = process.parent()
        assert guard is not None
        admin.config_set("appendfsync", "always")  # so that what was answered survives `lose`

        def lose() -> None:
            guard.suspend()  # Else it would restart the server at once.
            process.kill()
            wait_for(lambda: not answers(admin))

        def revive() -> None:
            guard.resume()
            wait_for(lambda: answers(admin))

        try:
            yield Server(
                url=server.url, admin=admin, lose=lose, revive=revive, pids=lambda: [process.pid]
            )
        finally:
            guard.resume()


def free_port() -> int:
    """A free port below the range of outgoing connections.

    One of these could take the port while the server is lost.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def debian_server(
    folder: Path, *tls_config: str, scheme: str = "redis", options: str = ""
) -> Iterator[Server]:
    """A redis-server from the PATH on a loopback port, with ACL users for store and test."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("no redis-server on the PATH")
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = [
        "bind 127.0.0.1",
        f"port {port}" if scheme == "redis" else f"port 0\ntls-port {port}",
        'save ""',
        "appendonly yes",
        "appendfsync always",
        f"user ann on >{PASSWORD} ~{KEY_PREFIX}* &* -@all +@read +@write +@connection",
        f"user admin on >{ADMIN_PASSWORD} ~* &* +@all",
        "user default off",
        *tls_config,
    ]
    running: list[subprocess.Popen[bytes]] = []
    tail = f"127.0.0.1:{port}/0{options}"

    def lose() -> None:
        running[-1].kill()
        running[-1].wait()

    with contextlib.closing(client(f"{scheme}://admin:{ADMIN_PASSWORD}@{tail}")) as admin:

        def revive() -> None:
            process = subprocess.Popen(
                [binary, "-"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )
            running.append(process)
            assert process.stdin is not None
            process.stdin.write("\n".join(config).encode())
            process.stdin.close()
            wait_for(lambda: answers(admin))

        try:
            revive()
            url = f"{scheme}://ann:{PASSWORD}@{tail}"
            yield Server(
                url=url, admin=admin, lose=lose, revive=revive, pids=lambda: [running[-1].pid]
            )
        finally:
            lose()


class ClusterAdmin:
    """A client of all nodes with the methods that the tests use.

    What has no key goes to every node.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._nodes = [client(f"redis://admin:{ADMIN_PASSWORD}@127.0.0.1:{port}") for port in ports]
        self._cluster: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._cluster is None:
            self._cluster = redis.RedisCluster.from_url(
                f"redis://admin:{ADMIN_PASSWORD}@127.0.0.1:{self._nodes[0].connection_pool.connection_kwargs['port']}"
            )
        return getattr(self._cluster, name)

    def config_set(self, name: str, value: object) -> None:
        for node in self._nodes:
            node.config_set(name, value)  # type: ignore[arg-type]

    def flush(self) -> None:
        for node in self._nodes:
            node.flushall()

    def is_whole(self) -> bool:
        try:
            states = [node.execute_command("CLUSTER", "INFO") for node in self._nodes]
        except redis.RedisError:
            return False
        # A node that does not know yet who holds the others' slots calls the cluster ok, too.
        wanted = (b"cluster_state:ok", b"cluster_known_nodes:3", b"cluster_slots_ok:16384")
        return all(word in state for state in states for word in wanted)

    def join(self) -> None:
        """Make one cluster of the nodes."""
        bounds = [0, 5461, 10923, 16384]
        first = self._nodes[0].connection_pool.connection_kwargs["port"]
        for index, node in enumerate(self._nodes):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[index], bounds[index + 1] - 1)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self._nodes[1:]:
            bus = int(self._nodes[0].config_get("cluster-port")["cluster-port"])
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", first, bus)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three nodes that share the slots; it takes seconds to form, so tests share it."""
    if (binary := shutil.which("redis-server")) is None:
        pytest.skip("no redis-server on the PATH")
    folder = tmp_path_factory.mktemp("nodes")
    ports, bus_ports = ([free_port() for _ in range(3)] for _ in range(2))
    admin: Any = ClusterAdmin(ports)
    running: list[subprocess.Popen[bytes]] = []

    def lose() -> None:
        for process in running:
            process.kill()
            process.wait()

    def start() -> None:
        running.clear()
        for port, bus_port in zip(ports, bus_ports, strict=True):
            (folder / str(port)).mkdir(exist_ok=True)
            config = [
                "bind 127.0.0.1", f"port {port}", f"cluster-port {bus_port}",
                "cluster-enabled yes", 'save ""', "appendonly yes", "appendfsync always",
                "cluster-node-timeout 5000", "cluster-require-full-coverage no",
                f"user ann on >{PASSWORD} ~{KEY_PREFIX}* &* -@all +@read +@write +@connection "
                "+cluster|slots",
                f"user admin on >{ADMIN_PASSWORD} ~* &* +@all",
                "user default off",
            ]  # fmt: skip
            process = subprocess.Popen(
                [binary, "-"],
                cwd=folder / str(port),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            running.append(process)
            assert process.stdin is not None
            process.stdin.write("\n".join(config).encode())
            process.stdin.close()
        for node in admin._nodes:
            wait_for(lambda node=node: answers(node))

    def revive() -> None:
        start()
        wait_for(admin.is_whole)

    try:
        start()
        admin.join()
        wait_for(admin.is_whole)
        url = f"redis://ann:{PASSWORD}@127.0.0.1:{ports[1]}/0"
        pids = lambda: [process.pid for process in running]  # noqa: E731
        yield Server(url=url, admin=admin, lose=lose, revive=revive, pids=pids)
    finally:
        lose()


SERVERS = ("embedded", "debian", "cluster")


def running_server(
    name: str, request: pytest.FixtureRequest, folder: Path
) -> contextlib.AbstractContextManager[Server]:
    if name != "cluster":
        return {"embedded": embedded_server, "debian": debian_server}[name](folder)
    server: Server = request.getfixturevalue("cluster")
    if not server.admin.is_whole():  # type: ignore[attr-defined]
        server.lose()
        server.revive()
    server.admin.config_set("maxmemory", 0)
    server.admin.flush()  # type: ignore[attr-defined]
    return contextlib.nullcontext(server)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with running_server(request.param, request, tmp_path / "server") as running:
        yield running


@pytest.fixture
def store(server: Server) -> Iterator[RedisStore]:
    with contextlib.closing(RedisStore(server.url, context=CONTEXT, probe_after_s=0.05)) as opened:
        yield opened


@pytest.fixture(params=["memory", *SERVERS])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VerdictStore]:
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            yield stack.enter_context(contextlib.closing(MemoryStore()))
            return
        running = stack.enter_context(running_server(request.param, request, tmp_path / "server"))
        yield stack.enter_context(contextlib.closing(RedisStore(running.url, context=CONTEXT)))


def raw(server: Server, key: str, path: LayerPath = IDENTITY) -> Any:
    return server.admin.hget(key, encode_path(path))  # type: ignore[arg-type]


def hostile_value(rng: random.Random, number: int, good: bytes) -> bytes:
    """Bytes that are no verdict, of every kind in turn."""
    kinds: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(200)),
        lambda: good[: rng.randrange(len(good))],
        lambda: good + rng.randbytes(1 + rng.randrange(3)),
        lambda: bytes([good[0], rng.randrange(2, 128)]) + good[2:],
        lambda: msgpack.packb([VALUE_SCHEMA + 1, 1, 0.5, 10, "A", {"new": [1]}]),
        lambda: msgpack.packb({"reward": 1.0, "output": "A"}),
        lambda: msgpack.packb(
            [1, rng.choice([2.0, -1.0, float("nan"), "1", None, True]), None, 10, "A"]
        ),
        lambda: msgpack.packb([1, 1, rng.choice([float("inf"), float("nan"), 1, "0.5"]), 10, "A"]),
        lambda: msgpack.packb([1, 1, None, rng.choice([-1, 2**63, 1.5, None]), "A"]),
        lambda: msgpack.packb([1, 1, None, 10, rng.choice([b"A", None, 5, ["A"]])]),
        lambda: pickle.dumps(("reward", 1.0)),
        lambda: json.dumps({"reward": 1.0}).encode(),
        lambda: b"\x95" * (1 + rng.randrange(5000)),
        lambda: b"\xdd\xff\xff\xff\xff" + rng.randbytes(8),
    ]
    while True:
        value = kinds[number % len(kinds)]()
        if value not in (good, STORED_APART):
            try:
                decode_verdict(value)
            except VerdictDecodeError:
                return value
        number += 1


class TestEveryStore:
    def test_round_trip(self, any_store: VerdictStore) -> None:
        any_store.put_many([("e1", IDENTITY, SHORT), ("e1", SHORTER, LONG), ("e2", IDENTITY, LONG)])
        assert any_store.get_many(
            [
                ("e2", IDENTITY),
                ("e1", SHORTER),
                ("e3", IDENTITY),
                ("e1", IDENTITY),
                ("e2", SHORTER),
                ("e2", IDENTITY),
            ]
        ) == [LONG, LONG, None, SHORT, None, LONG]
        assert any_store.errors == StoreErrors()

    def test_nothing_is_nothing(self, any_store: VerdictStore) -> None:
        any_store.put_many([])
        assert any_store.get_many([]) == []

    @pytest.mark.parametrize(
        ("first", "second"), [(SHORT, LONG), (LONG, SHORT), (LONG, replace(LONG, reward=1.0))]
    )
    def test_the_first_writer_wins(
        self, any_store: VerdictStore, first: Verdict, second: Verdict
    ) -> None:
        any_store.put_many([("e1", IDENTITY, first)])
        any_store.put_many([("e1", IDENTITY, second)])
        any_store.put_many([("e2", IDENTITY, first), ("e2", IDENTITY, second)])
        assert any_store.get_many([("e1", IDENTITY), ("e2", IDENTITY)]) == [first, first]

    def test_thousands_at_once(self, any_store: VerdictStore) -> None:
        items = [
            (f"e{number}", path, replace(verdict, num_layer_tokens=number))
            for number in range(1500)
            for path, verdict in ((IDENTITY, SHORT), (SHORTER, LONG))
        ]
        any_store.put_many(items)
        assert any_store.get_many([(example_id, path) for example_id, path, _ in items]) == [
            item[2] for item in items
        ]
        assert any_store.errors == StoreErrors()

    def test_closing_twice_is_closing_once(self, any_store: VerdictStore) -> None:
        any_store.close()
        any_store.close()

    def test_what_is_claimed_is_ours_until_it_is_put(self, any_store: VerdictStore) -> None:
        any_store.put_many([("e1", IDENTITY, SHORT), ("e2", IDENTITY, LONG)])
        wanted = [("e1", IDENTITY), ("e1", SHORTER), ("e2", IDENTITY)]
        assert any_store.claim_many(wanted) == [SHORT, Claim.OURS, LONG]
        assert any_store.claim_many(wanted) == [SHORT, Claim.OURS, LONG]
        any_store.keep_claims()
        any_store.put_many([("e1", SHORTER, LONG)])
        assert any_store.claim_many(wanted) == [SHORT, LONG, LONG]
        any_store.release_many([("e1", SHORTER), ("e3", IDENTITY)])
        assert any_store.claim_many([]) == []
        assert any_store.errors == StoreErrors()


class TestClaims:
    """Two stores claim verdicts on one server."""

    @pytest.fixture
    def other(self, server: Server) -> Iterator[RedisStore]:
        with contextlib.closing(RedisStore(server.url, context=CONTEXT, claim_ttl_s=1.5)) as opened:
            yield opened

    def test_a_claim_is_theirs_until_it_is_put(self, store: RedisStore, other: RedisStore) -> None:
        assert store.claim_many([("e1", IDENTITY), ("e1", SHORTER)]) == [Claim.OURS] * 2
        assert other.claim_many([("e1", SHORTER), ("e2", IDENTITY), ("e1", IDENTITY)]) == [
            Claim.THEIRS, Claim.OURS, Claim.THEIRS,
        ]  # fmt: skip
        assert store.claim_many([("e2", IDENTITY)]) == [Claim.THEIRS]
        store.put_many([("e1", IDENTITY, LONG)])
        assert other.claim_many([("e1", IDENTITY), ("e1", SHORTER)]) == [LONG, Claim.THEIRS]

    def test_what_is_released_or_closed_is_free(
        self, server: Server, store: RedisStore, other: RedisStore
    ) -> None:
        wanted = [("e1", IDENTITY), ("e1", SHORTER)]
        assert store.claim_many(wanted) == [Claim.OURS] * 2
        store.release_many(wanted[:1])
        assert other.claim_many(wanted) == [Claim.OURS, Claim.THEIRS]
        store.close()
        assert other.claim_many(wanted) == [Claim.OURS] * 2
        other.release_many(wanted)
        assert [key for key in server.admin.scan_iter(f"{CLAIM_PREFIX}*")] == []

    def test_a_claim_that_is_kept_lasts_and_one_that_is_not_runs_out(
        self, store: RedisStore, other: RedisStore
    ) -> None:
        wanted = [("e1", IDENTITY)]
        assert other.claim_many(wanted) == [Claim.OURS]
        for _ in range(8):
            time.sleep(0.3)
            other.keep_claims()
        assert store.claim_many(wanted) == [Claim.THEIRS]
        time.sleep(1.6)
        assert store.claim_many(wanted) == [Claim.OURS]

    def test_a_verdict_that_came_between_look_up_and_claim_is_seen(
        self, server: Server, store: RedisStore, other: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert other.claim_many([("e1", IDENTITY), ("e1", SHORTER)]) == [Claim.OURS] * 2
        run = store._link._client.run

        def run_after_the_other_has_finished(commands: Any) -> list[Any]:
            if commands[0][0] == "SET":
                other.put_many([("e1", IDENTITY, SHORT), ("e1", SHORTER, LONG)])
            return run(commands)

        monkeypatch.setattr(store._link._client, "run", run_after_the_other_has_finished)
        assert store.claim_many([("e1", IDENTITY), ("e1", SHORTER)]) == [SHORT, LONG]
        assert [key for key in server.admin.scan_iter(f"{CLAIM_PREFIX}*")] == []

    def test_round_trips(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        run = store._link._client.run

        def counted(commands: Any) -> list[Any]:
            calls.append(len(commands))
            return run(commands)

        monkeypatch.setattr(store._link._client, "run", counted)
        wanted = [(f"e{number}", path) for number in range(8) for path in (IDENTITY, SHORTER)]
        store.claim_many(wanted)
        assert calls == [8, 16 + 8]  # a miss costs one more than a look-up
        calls.clear()
        store.put_many([(*item, SHORT) for item in wanted])
        store.keep_claims()
        assert calls == [16 + 16]
        calls.clear()
        store.claim_many(wanted)
        assert calls == [8]

    def test_a_lost_server_holds_nobody_up(
        self, server: Server, store: RedisStore, other: RedisStore
    ) -> None:
        assert other.claim_many([("e1", IDENTITY)]) == [Claim.OURS]
        server.lose()
        assert store.claim_many([("e1", IDENTITY), ("e2", IDENTITY)]) == [Claim.OURS] * 2
        store.keep_claims()
        store.put_many([("e1", IDENTITY, SHORT)])
        server.revive()
        wait_for(lambda: store.claim_many([("e1", IDENTITY)]) == [SHORT])

    def test_a_full_server_holds_nobody_up(self, server: Server, store: RedisStore) -> None:
        server.admin.config_set("maxmemory", 1)
        assert store.claim_many([("e1", IDENTITY)]) == [Claim.OURS]
        assert store.claim_many([("e1", IDENTITY)]) == [Claim.OURS]
        server.admin.config_set("maxmemory", 0)


class TestSharing:
    def test_another_client_reads_what_was_written_and_loses_the_race(
        self, server: Server, store: RedisStore
    ) -> None:
        store.put_many([("e1", IDENTITY, SHORT)])
        with contextlib.closing(RedisStore(server.url, context=CONTEXT)) as other:
            other.put_many([("e1", IDENTITY, LONG)])
            assert other.get_many([("e1", IDENTITY)]) == [SHORT]

    def test_contexts_do_not_mix(self, server: Server, store: RedisStore) -> None:
        store.put_many([("e1", IDENTITY, SHORT)])
        with contextlib.closing(
            RedisStore(server.url, context=replace(CONTEXT, task_version="2"))
        ) as other:
            assert other.get_many([("e1", IDENTITY)]) == [None]

    def test_short_verdicts_keep_the_hash_compact_and_the_context_is_readable(
        self, server: Server, store: RedisStore
    ) -> None:
        store.put_many([("e1", IDENTITY, SHORT), ("e1", SHORTER, LONG)])
        assert server.admin.object("encoding", example_key(CONTEXT.namespace, "e1")) in (
            b"listpack",
            b"ziplist",
        )
        assert raw(server, example_key(CONTEXT.namespace, "e1"), SHORTER) == STORED_APART
        assert server.admin.get(context_key(CONTEXT.namespace)) == CONTEXT.canonical_json().encode()

    def test_a_path_of_another_model_has_no_place(self, store: RedisStore) -> None:
        with pytest.raises(
            InvalidPathError, match="of a model of 8 layers; this cache is of one of 30"
        ):
            store.get_many([("e1", LayerPath.identity(8))])
        with pytest.raises(InvalidPathError, match="of a model of 8 layers"):
            store.put_many([("e1", LayerPath.identity(8), SHORT)])

    def test_a_census_sees_all_nodes(self, server: Server, store: RedisStore) -> None:
        store.put_many(
            [(f"e{number}", path, SHORT) for number in range(20) for path in (IDENTITY, SHORTER)]
        )
        store.put_many([(f"e{number}", IDENTITY, LONG) for number in range(20, 25)])
        with contextlib.closing(RedisClient(server.url)) as client_of_census:
            census = take_census(client_of_census)
        (counted,) = census.contexts
        assert (counted.num_examples, counted.num_verdicts, counted.num_apart) == (25, 45, 5)
        assert counted.context is not None
        assert census.is_complete


class TestDamage:
    @pytest.mark.parametrize(
        "planted", [b"", b"garbage", b"\x80\x04N.", b"\x95\x02\x01\xc0\x01\xa1x"]
    )
    @pytest.mark.parametrize("long", [False, True])
    def test_a_value_that_does_not_decode_is_a_counted_miss_and_gives_way(
        self, server: Server, store: RedisStore, planted: bytes, long: bool
    ) -> None:
        good = LONG if long else SHORT
        key_of = apart_key if long else example_key
        store.put_many([("e1", IDENTITY, good), ("e1", SHORTER, SHORT)])
        server.admin.hset(key_of(CONTEXT.namespace, "e1"), encode_path(IDENTITY), planted)  # type: ignore[call-overload]
        assert store.get_many([("e1", IDENTITY), ("e1", SHORTER)]) == [None, SHORT]
        assert store.errors == StoreErrors(num_corrupt=1)
        store.put_many([("e1", IDENTITY, good)])
        assert store.get_many([("e1", IDENTITY)]) == [good]

    def test_ten_thousand_hostile_values_are_counted_misses(
        self, server: Server, store: RedisStore
    ) -> None:
        rng = random.Random(0)
        good = [encode_verdict(verdict) for verdict in (SHORT, LONG)]
        items, planted = [], {}
        for number in range(10_000):
            item = (f"e{number % 100}", LayerPath(tuple(sorted(rng.sample(range(30), 20))), 30))
            if item not in planted:
                items.append(item)
                planted[item] = hostile_value(rng, number, rng.choice(good))
        assert len(items) > 9900
        pipe = server.admin.pipeline(transaction=False)
        for (example_id, path), value in planted.items():
            key_of = apart_key if len(value) > 64 else example_key
            pipe.hset(key_of(CONTEXT.namespace, example_id), encode_path(path), value)  # type: ignore[call-overload]
            if len(value) > 64:
                pipe.hset(
                    example_key(CONTEXT.namespace, example_id), encode_path(path), STORED_APART
                )  # type: ignore[call-overload]
        pipe.execute()
        assert store.get_many(items) == [None] * len(items)
        assert store.errors == StoreErrors(num_corrupt=len(items))
        store.put_many([(*item, SHORT) for item in items])
        assert store.get_many(items) == [SHORT] * len(items)

    def test_a_long_value_that_vanished_is_a_miss_and_comes_back(
        self, server: Server, store: RedisStore
    ) -> None:
        store.put_many([("e1", IDENTITY, LONG)])
        server.admin.delete(apart_key(CONTEXT.namespace, "e1"))
        assert store.get_many([("e1", IDENTITY)]) == [None]
        store.put_many([("e1", IDENTITY, LONG)])
        assert store.get_many([("e1", IDENTITY)]) == [LONG]

    def test_a_key_of_another_type_spoils_nothing_else(
        self, server: Server, store: RedisStore
    ) -> None:
        server.admin.set(example_key(CONTEXT.namespace, "e1"), b"text")
        store.put_many([("e1", IDENTITY, SHORT), ("e2", IDENTITY, SHORT)])
        assert store.get_many([("e1", IDENTITY), ("e2", IDENTITY)]) == [None, SHORT]
        assert store.errors == StoreErrors(num_failed=2)


class TestOutage:
    def test_lost_in_the_middle_writes_wait_and_are_flushed(
        self, server: Server, store: RedisStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put_many([("e0", IDENTITY, LONG)])
        server.lose()
        for number in range(1, 9):
            store.put_many([(f"e{number}", IDENTITY, SHORT)])
            assert store.get_many([("e0", IDENTITY)]) == [None]
        assert store.errors.num_buffered == 8
        assert store.errors.num_failed >= 2
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "going on without it" in caplog.text
        server.revive()
        wait_for(
            lambda: store.get_many([("e0", IDENTITY)]) == [LONG] and store.errors.num_buffered == 0
        )
        assert store.errors.num_dropped == 0
        assert store.get_many([(f"e{number}", IDENTITY) for number in range(1, 9)]) == [SHORT] * 8
        assert [record.getMessage().partition(" has ")[2] for record in caplog.records[1:]] == [
            "returned"
        ]

    def test_a_short_break_between_two_calls_is_not_noticed(
        self, server: Server, store: RedisStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put_many([("e0", IDENTITY, SHORT)])
        server.lose()
        server.revive()
        store.put_many([("e1", IDENTITY, SHORT)])
        assert store.get_many([("e0", IDENTITY), ("e1", IDENTITY)]) == [SHORT, SHORT]
        assert store.errors == StoreErrors()
        assert caplog.records == []

    def test_what_others_wrote_meanwhile_wins_over_the_buffer(
        self, server: Server, store: RedisStore
    ) -> None:
        server.lose()
        store.put_many([("e1", IDENTITY, SHORT)])
        server.revive()
        with contextlib.closing(RedisStore(server.url, context=CONTEXT)) as other:
            other.put_many([("e1", IDENTITY, LONG)])
        wait_for(
            lambda: store.get_many([("e1", IDENTITY)]) == [LONG] and store.errors.num_buffered == 0
        )

    @pytest.mark.slow
    def test_a_server_that_hangs_costs_little_after_a_few_calls(self, server: Server) -> None:
        with contextlib.closing(
            RedisStore(server.url, context=CONTEXT, probe_after_s=3.0)
        ) as store:
            with server.hanging():
                for _ in range(2):
                    assert store.get_many([("e1", IDENTITY)]) == [None]
                started_at = time.monotonic()
                for number in range(500):
                    store.put_many([(f"e{number}", IDENTITY, SHORT)])
                assert time.monotonic() - started_at < 2.0
                assert store.errors.num_buffered == 500
            wait_for(
                lambda: (
                    store.get_many([("e499", IDENTITY)]) == [SHORT]
                    and store.errors.num_buffered == 0
                )
            )

    def test_the_buffer_is_bounded_and_says_so_once(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        with contextlib.closing(
            RedisStore(server.url, context=CONTEXT, max_buffered_bytes=1000)
        ) as store:
            server.lose()
            for number in range(100):
                store.put_many([(f"e{number}", IDENTITY, SHORT)])
            assert store.errors.num_buffered == 3
            assert store.errors.num_dropped == 97
            assert caplog.text.count("buffer for cache writes is full") == 1
        assert store.errors.num_buffered == 0
        assert store.errors.num_dropped == 100
        assert caplog.text.count("3 verdicts were not cached") == 1

    def test_what_waited_is_written_in_parts_so_that_no_call_lasts(self, server: Server) -> None:
        now_s = [0.0]

        def clock() -> float:
            now_s[0] += 1.0
            return now_s[0]

        with contextlib.closing(RedisStore(server.url, context=CONTEXT, clock=clock)) as store:
            server.lose()
            num_puts = 30
            for part in range(num_puts):
                store.put_many([(f"e{part}-{number}", IDENTITY, SHORT) for number in range(1000)])
            server.revive()
            seen = []
            while waiting := store.errors.num_buffered:
                store.get_many([("e0-0", IDENTITY)])
                seen.append(waiting - store.errors.num_buffered)
                assert len(seen) < 1000
            assert sum(seen) == 1000 * num_puts
            assert 0 < max(seen) <= 6000  # a round trip takes at least one of these seconds
            assert store.errors.num_dropped == 0

    def test_closing_flushes_without_waiting_for_a_probe(self, server: Server) -> None:
        store = RedisStore(server.url, context=CONTEXT, probe_after_s=1000.0)
        server.lose()
        for number in range(5):
            store.put_many([(f"e{number}", IDENTITY, SHORT)])
        server.revive()
        assert store.get_many([("e1", IDENTITY)]) == [None]
        store.close()
        assert store.errors.num_dropped == 0
        assert raw(server, example_key(CONTEXT.namespace, "e4")) is not None

    def test_a_server_that_refuses_writes_is_still_read(
        self, server: Server, store: RedisStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.put_many([("e0", IDENTITY, SHORT)])
        server.admin.config_set("maxmemory", 1)
        for number in range(1, 9):
            store.put_many([(f"e{number}", IDENTITY, SHORT)])
            assert store.get_many([("e0", IDENTITY)]) == [SHORT]
        assert store.errors.num_buffered == 8
        num_failed = store.errors.num_failed
        time.sleep(0.2)
        store.put_many([("e8", IDENTITY, SHORT)])
        assert store.errors.num_failed > num_failed  # Asked again, and said nothing more.
        assert caplog.text.count("refuses writes") == len(caplog.records) == 1
        server.admin.config_set("maxmemory", 0)
        wait_for(
            lambda: store.get_many([("e8", IDENTITY)]) == [SHORT] and store.errors.num_buffered == 0
        )


class TestSpool:
    """What a lost server did not take is on disk, and there again after the end of the process."""

    @pytest.fixture
    def spool_dir(self, tmp_path: Path) -> Path:
        return tmp_path / "spool"

    def open(self, server: Server, spool_dir: Path, **options: Any) -> RedisStore:
        return RedisStore(
            server.url, context=CONTEXT, spool_dir=spool_dir, probe_after_s=0.05, **options
        )

    def test_a_killed_run_leaves_its_verdicts_to_the_next(
        self, server: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        killed = self.open(server, spool_dir)
        server.lose()
        items = [
            (f"e{number}", path, LONG) for number in range(700) for path in (IDENTITY, SHORTER)
        ]
        for start in range(0, 1400, 100):
            killed.put_many(items[start : start + 100])
        # What the end of a process does: the file is there, its lock is not.
        killed._writer.pending.close()
        server.revive()
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert (
                store.get_many([(example_id, path) for example_id, path, _ in items])
                == [LONG] * 1400
            )
            assert store.errors == StoreErrors()
        assert "1400 verdicts that waited in " in caplog.text
        assert list(spool_dir.iterdir()) == []

    def test_memory_may_be_short_while_the_server_is_away(
        self, server: Server, spool_dir: Path
    ) -> None:
        with contextlib.closing(self.open(server, spool_dir, max_buffered_bytes=5000)) as store:
            server.lose()
            for number in range(3000):
                store.put_many([(f"e{number}", IDENTITY, SHORT)])
            assert (store.errors.num_buffered, store.errors.num_dropped) == (3000, 0)
            server.revive()
            wait_for(
                lambda: (
                    store.get_many([("e2999", IDENTITY)]) == [SHORT]
                    and not store.errors.num_buffered
                )
            )
            assert (
                store.get_many([(f"e{number}", IDENTITY) for number in range(3000)])
                == [SHORT] * 3000
            )
            assert list(spool_dir.iterdir()) == []

    def test_ending_without_the_server_says_where_the_verdicts_wait(
        self, server: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = self.open(server, spool_dir)
        server.lose()
        for number in range(5):
            store.put_many([(f"e{number}", IDENTITY, SHORT)])
        store.close()
        assert store.errors == StoreErrors(num_failed=store.errors.num_failed)
        (path,) = spool_dir.iterdir()
        assert (
            f"5 verdicts that {store._shown_url} did not take wait in {path} until the same command"
            in caplog.text
        )

    def leave_behind(self, spool_dir: Path, items: Sequence[tuple[str, LayerPath]]) -> Path:
        """What a store that died leaves."""
        spool = Spool(spool_dir, namespace=CONTEXT.namespace)
        assert spool.append(
            [((example_id, encode_path(path)), encode_verdict(LONG)) for example_id, path in items]
        )
        spool.close()
        return spool.path

    def test_several_stores_that_open_at_once_write_each_file_once(
        self, server: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        items = [(f"e{number}", path) for number in range(600) for path in (IDENTITY, SHORTER)]
        left = [
            self.leave_behind(spool_dir, items[start : start + 200])
            for start in range(0, 1200, 200)
        ]
        with ThreadPoolExecutor(5) as pool, contextlib.ExitStack() as stack:
            for store in pool.map(lambda _: self.open(server, spool_dir), range(5)):
                stack.enter_context(contextlib.closing(store))
            assert store.get_many(items) == [LONG] * 1200
        said = [record.getMessage() for record in caplog.records]
        assert sorted(said) == sorted(
            f"200 verdicts that waited in {path} are written to the cache server" for path in left
        )
        assert list(spool_dir.iterdir()) == []

    def test_what_a_store_left_that_died_meanwhile_is_written_at_the_end(
        self, server: Server, spool_dir: Path
    ) -> None:
        with contextlib.closing(self.open(server, spool_dir)) as store:
            path = self.leave_behind(spool_dir, [("e1", IDENTITY)])
            assert store.get_many([("e1", IDENTITY)]) == [None]
            assert path.exists()
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert store.get_many([("e1", IDENTITY)]) == [LONG]
        assert list(spool_dir.iterdir()) == []

    def test_a_replacement_waits_in_use_for_a_server_that_is_lost(
        self, server: Server, spool_dir: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        left = self.leave_behind(spool_dir, [(f"e{number}", IDENTITY) for number in range(5000)])
        server.lose()
        with contextlib.closing(self.open(server, spool_dir, may_be_lost=True)) as store:
            assert left.exists()
            assert store.claim_many([("e0", SHORTER)]) == [Claim.OURS]
            store.put_many([("e0", SHORTER, SHORT)])
            assert store.errors.num_buffered == 1  # what others left on disk is not copied
            assert "going on without it" in caplog.text
            server.revive()
            wait_for(
                lambda: (
                    store.get_many([("e0", SHORTER)]) == [SHORT] and not store.errors.num_buffered
                )
            )
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert (
                store.get_many([(f"e{number}", IDENTITY) for number in range(5000)])
                == [LONG] * 5000
            )
        assert list(spool_dir.iterdir()) == []

    @pytest.mark.parametrize(
        "content", [b"lpsspl2\n" + b"what a later version writes" * 9, b"\x80\x04N."]
    )
    def test_a_file_of_another_version_is_left_alone(
        self, server: Server, spool_dir: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        spool_dir.mkdir()
        path = spool_dir / f"{CONTEXT.namespace}-0{SUFFIX}"
        path.write_bytes(content)
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert store.errors == StoreErrors()
        assert path.read_bytes() == content
        assert "is no spool of this program; it is left alone" in caplog.text

    @pytest.mark.parametrize("content", [b"", b"lpss"])
    def test_a_file_that_was_hardly_begun_is_removed(
        self, server: Server, spool_dir: Path, content: bytes
    ) -> None:
        spool_dir.mkdir()
        (spool_dir / f"{CONTEXT.namespace}-0{SUFFIX}").write_bytes(content)
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert store.errors == StoreErrors()
        assert list(spool_dir.iterdir()) == []

    def test_what_is_no_verdict_is_counted_and_other_contexts_are_left_alone(
        self, server: Server, spool_dir: Path
    ) -> None:
        spool = Spool(spool_dir, namespace=CONTEXT.namespace)
        spool.append(
            [
                (("e1", encode_path(IDENTITY)), b"garbage"),
                (("e2", encode_path(IDENTITY)), b"\x95\x02\x01"),
            ]
        )
        spool.close()
        other = Spool(spool_dir, namespace="other")
        other.append([(("e1", encode_path(IDENTITY)), b"garbage")])
        other.close()
        with contextlib.closing(self.open(server, spool_dir)) as store:
            assert store.get_many([("e1", IDENTITY), ("e2", IDENTITY)]) == [None, None]
            assert store.errors == StoreErrors(num_corrupt=2)
        assert list(spool_dir.iterdir()) == [other.path]


class TestStart:
    def test_a_server_that_is_not_there_is_named_with_the_next_step(self, tmp_path: Path) -> None:
        with pytest.raises(
            CacheError, match=r"unix://:\*\*\*@/.*/none can't be used: .*; it has to answer PING"
        ) as error:
            RedisStore(f"unix://:{PASSWORD}@{tmp_path}/none", context=CONTEXT)
        assert PASSWORD not in "".join(traceback.format_exception(error.value))

    def test_a_wrong_password_is_refused_and_never_shown(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        wrong = (
            server.url.replace(PASSWORD, "wr0ng-one")
            if PASSWORD in server.url
            else "unix://:wr0ng-one@" + server.url.partition("@")[2]
        )
        with pytest.raises(CacheError, match=r"can't be used: .*password") as error:
            RedisStore(wrong, context=CONTEXT)
        assert "wr0ng-one" not in "".join(traceback.format_exception(error.value)) + caplog.text

    def test_a_server_that_can_not_be_written_to_is_refused(self, server: Server) -> None:
        server.admin.config_set("maxmemory", 1)
        with pytest.raises(CacheError, match=r"can't be used: .*memory"):
            RedisStore(server.url, context=CONTEXT)

    @pytest.mark.parametrize(
        "url",
        [
            "redis://:s3cr/et@127.0.0.1:1",
            "redis://ann:s3cr?et@127.0.0.1:1",
            "redis://:12#s3cret@127.0.0.1:1",
            "redis://ann:s3cret@127.0.0.1:port",
            "redis://ann:s3cret@127.0.0.1:1?colour=red",
            "redis://ann:s3cret@127.0.0.1:1?socket_timeout=soon",
            "redis://ann:s3cret@[::1",
        ],
    )
    def test_a_malformed_url_is_refused_and_its_password_never_shown(self, url: str) -> None:
        with pytest.raises(
            CacheError, match="is malformed; write redis://user:password@host:port/db"
        ) as error:
            RedisStore(url, context=CONTEXT)
        text = "".join(traceback.format_exception(error.value))
        assert "s3cr" not in text
        assert "et@" not in text

    def test_passwords_never_reach_logs_and_reprs(
        self, server: Server, store: RedisStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        password = unquote(urlsplit(server.url).password or "")
        assert len(password) >= 8
        store.put_many([("e1", IDENTITY, SHORT)])
        server.lose()
        for _ in range(5):
            store.get_many([("e1", IDENTITY)])
        assert ":***@" in caplog.text
        assert password not in caplog.text + repr(store) + repr(store._link) + repr(
            vars(store)
        ) + repr(vars(store._link))

    def test_tls(self, tmp_path: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl on the PATH")
        subprocess.run(
            shlex.split(
                "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem "
                "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
            ),
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        tls = [
            f"tls-cert-file {tmp_path}/cert.pem",
            f"tls-key-file {tmp_path}/key.pem",
            f"tls-ca-cert-file {tmp_path}/cert.pem",
        ]
        options = f"?ssl_ca_certs={tmp_path}/cert.pem"
        with debian_server(
            tmp_path / "server", *tls, "tls-auth-clients no", scheme="rediss", options=options
        ) as server:
            with contextlib.closing(RedisStore(server.url, context=CONTEXT)) as store:
                store.put_many([("e1", IDENTITY, LONG)])
                assert store.get_many([("e1", IDENTITY)]) == [LONG]
            with pytest.raises(CacheError, match=r"can't be used: .*certificate verify failed"):
                RedisStore(server.url.partition("?")[0], context=CONTEXT)


class TestOpen:
    def test_none_is_memory(self, tmp_path: Path) -> None:
        with open_store("none", context=CONTEXT, run_dir=tmp_path) as store:
            store.put_many([("e1", IDENTITY, SHORT)])
            assert store.get_many([("e1", IDENTITY)]) == [SHORT]
        assert list(tmp_path.iterdir()) == []

    def test_embedded_is_there_again_at_the_next_start(self, tmp_path: Path) -> None:
        with open_store("embedded", context=CONTEXT, run_dir=tmp_path / "run") as store:
            store.put_many([("e1", IDENTITY, SHORT)])
        with open_store("embedded", context=CONTEXT, run_dir=tmp_path / "run") as store:
            assert store.get_many([("e1", IDENTITY)]) == [SHORT]

    def test_a_url_is_a_shared_server(self, server: Server, tmp_path: Path) -> None:
        with open_store(server.url, context=CONTEXT, run_dir=tmp_path) as store:
            store.put_many([("e1", IDENTITY, SHORT)])
        assert raw(server, example_key(CONTEXT.namespace, "e1")) is not None

    @pytest.mark.parametrize(
        "url", ["", "redis", "http://ann:s3cret@host", "localhost:6379", "Embedded"]
    )
    def test_anything_else_is_refused_with_the_allowed_forms(
        self, tmp_path: Path, url: str
    ) -> None:
        with (
            pytest.raises(ConfigError, match=r"use 'embedded', 'none', redis://") as error,
            open_store(url, context=CONTEXT, run_dir=tmp_path),
        ):
            pass
        assert "s3cret" not in str(error.value)
