"""The cache server as deploy/ ships it: its users can do their work and no more."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext, example_key
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.server.binary import find_server_binary
from search_cluster.cache.store import Claim
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

pytestmark = pytest.mark.server

DEPLOY = Path(__file__).parents[2] / "deploy/redis"
SEARCH_PASSWORD, WATCH_PASSWORD = "search-" + "5" * 20, "watch-" + "7" * 20
CONTEXT = VerdictContext(
    schema=CONTEXT_SCHEMA,
    model_fingerprint="f",
    task="t",
    task_version="1",
    decoding="greedy",
    tie_threshold=0.5,
    num_layers=6,
)
VERDICT = Verdict(reward=1.0, margin=0.5, output="A", num_layer_tokens=60)


def users(**passwords: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **passwords}
    return subprocess.run(
        ["sh", str(DEPLOY / "make-acl.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=["bundled", "redis-server"])
def socket(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    binary = (
        str(find_server_binary()) if request.param == "bundled" else shutil.which("redis-server")
    )
    if binary is None:
        pytest.skip("no redis-server on the PATH: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("cache")
    made = users(SEARCH_PASSWORD=SEARCH_PASSWORD, WATCH_PASSWORD=WATCH_PASSWORD)
    assert SEARCH_PASSWORD not in made.stdout
    (folder / "users.acl").write_text(made.stdout)
    path = folder / "s"
    flags = (
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--dir",
        str(folder),
        "--aclfile",
        str(folder / "users.acl"),
    )
    server = subprocess.Popen(
        [binary, str(DEPLOY / "redis.conf"), *flags], stdout=subprocess.PIPE, text=True
    )
    try:
        deadline_s = time.monotonic() + 20
        while not path.exists():
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        yield path
    finally:
        server.terminate()
        server.communicate()
    assert any((folder / "appendonlydir").iterdir()) or (folder / "appendonly.aof").exists()


def store(socket: Path, user: str, password: str) -> RedisStore:
    return RedisStore(f"unix://{user}:{password}@{socket}", context=CONTEXT)


def test_a_search_works_and_its_verdicts_stay_compact(socket: Path) -> None:
    cache = store(socket, "search", SEARCH_PASSWORD)
    paths = [
        LayerPath(tuple(layer for layer in range(6) if layer != skipped), 6) for skipped in range(6)
    ]
    cache.put_many([("example", path, VERDICT) for path in paths])
    assert cache.get_many([("example", path) for path in paths]) == [VERDICT] * 6
    claimed = [("another", path) for path in paths]
    assert cache.claim_many(claimed) == [Claim.OURS] * 6
    assert store(socket, "search", SEARCH_PASSWORD).claim_many(claimed) == [Claim.THEIRS] * 6
    cache._link.run(cache._claims.renewals())
    cache.release_many(claimed)
    assert cache.errors.num_failed == cache.errors.num_corrupt == 0
    cache.close()
    with redis.Redis(
        unix_socket_path=str(socket), username="watch", password=WATCH_PASSWORD
    ) as watch:
        assert watch.object("encoding", example_key(CONTEXT.namespace, "example")) in (
            b"listpack",
            b"ziplist",
        )
        assert watch.hlen(example_key(CONTEXT.namespace, "example")) == 6
        assert watch.info("memory")["maxmemory_policy"] == "noeviction"


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "CONFIG SET dir /tmp", "SHUTDOWN",
        "MONITOR", "ACL LIST", "REPLICAOF NO ONE", "MODULE LIST", "SAVE", "BGREWRITEAOF",
        "CLIENT LIST", "SET other 1", "GET other", "RENAME lps:a other", "SORT other",
        "PUBLISH channel text", "SUBSCRIBE channel",
        "EVAL return 0", "SCRIPT FLUSH", "FUNCTION LIST", "CLUSTER FAILOVER", "CLUSTER RESET",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("user", "password"), [("search", SEARCH_PASSWORD), ("watch", WATCH_PASSWORD)]
)
def test_neither_user_can_do_what_is_not_its_work(
    socket: Path, user: str, password: str, command: str
) -> None:
    with (
        redis.Redis(unix_socket_path=str(socket), username=user, password=password) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())


def test_who_watches_can_not_write_and_strangers_can_do_nothing(socket: Path) -> None:
    with redis.Redis(
        unix_socket_path=str(socket), username="watch", password=WATCH_PASSWORD
    ) as watch:
        for command in (
            "SET lps:a 1",
            "DEL lps:a",
            "HSET lps:a b 1",
            "EXPIRE lps:a 1",
            "EVAL return\t1 0",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                watch.execute_command(*command.split(" "))
    with (
        redis.Redis(unix_socket_path=str(socket)) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()


def test_short_passwords_are_refused() -> None:
    for passwords in ({}, {"SEARCH_PASSWORD": "short", "WATCH_PASSWORD": WATCH_PASSWORD}):
        done = users(**passwords)
        assert done.returncode == 2
        assert "error: SEARCH_PASSWORD has" in done.stderr
        assert done.stdout == ""
