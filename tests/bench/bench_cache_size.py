"""Memory and disk that cached verdicts take on a real server.

Usage: ``python tests/bench/bench_cache_size.py [NUM_VERDICTS]``.

Starts a private ``redis-server`` (or ``valkey-server``) on a unix socket with the shipped settings,
writes verdicts through `RedisStore` as a search does, and asks the server what they weigh. One JSON
line per kind of verdict.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.cache.redis.store import RedisStore
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 28
CONFIG = Path(__file__).parents[2] / "deploy/redis/redis.conf"
BATCH = 2000
WORDS = [
    f"{stem}{ending}"
    for stem in ("gravit", "photosynth", "evapor", "volcan")
    for ending in ("y", "esis", "ation")
]


def skips_and_repeats(rng: random.Random) -> LayerPath:
    """A path that keeps the order: 2 bits a layer in the cache."""
    layers = (layer for layer in range(NUM_LAYERS) for _ in range(rng.choice((0, 1, 1, 1, 1, 2))))
    return LayerPath(tuple(layers), NUM_LAYERS)


def reordered(rng: random.Random) -> LayerPath:
    """A path whose segments changed places: a byte a layer."""
    layers = [layer for layer in range(NUM_LAYERS) if rng.random() < 0.9]
    cut = rng.randrange(1, len(layers))
    return LayerPath((*layers[cut:], *layers[:cut]), NUM_LAYERS)


def choice_text(rng: random.Random) -> str:
    """The text of a choice, 20 to 45 characters."""
    return " ".join(rng.choices(WORDS, k=3))


def letter(rng: random.Random) -> str:
    """A generated letter."""
    return rng.choice("ABCD")


def reasoning(rng: random.Random) -> str:
    """A generated text of about 400 characters, which is stored apart."""
    return " ".join(rng.choices(WORDS, k=40))


CASES: tuple[tuple[str, Callable[..., LayerPath], Callable[..., str], int], ...] = (
    ("choice text, order kept, 50 paths an example", skips_and_repeats, choice_text, 50),
    ("letter, order kept, 50 paths an example", skips_and_repeats, letter, 50),
    ("letter, order kept, 10 paths an example", skips_and_repeats, letter, 10),
    ("letter, order kept, 200 paths an example", skips_and_repeats, letter, 200),
    ("letter, reordered, 100 paths an example", reordered, letter, 100),
    ("text of 400 characters, order kept, 50 paths an example", skips_and_repeats, reasoning, 50),
)


def main() -> None:
    """Measure every case, the first at full size, the others at a tenth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_verdicts", nargs="?", type=int, default=1_000_000)
    num_verdicts = parser.parse_args().num_verdicts
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        sys.exit("no redis-server on the PATH: apt-get install redis-server")
    for number, (name, path_of, output_of, per_example) in enumerate(CASES):
        with tempfile.TemporaryDirectory() as folder:
            count = num_verdicts if number == 0 else num_verdicts // 10
            print(
                json.dumps(
                    {
                        "case": name,
                        **measure(binary, folder, count, per_example, path_of, output_of),
                    }
                ),
                flush=True,
            )


def measure(
    binary: str,
    folder: str,
    num_verdicts: int,
    per_example: int,
    path_of: Callable[..., LayerPath],
    output_of: Callable[..., str],
) -> dict[str, object]:
    """Fill a fresh server; bytes per verdict in memory and in the append-only file, rewritten."""
    socket = f"{folder}/redis.sock"
    server = subprocess.Popen(
        [
            binary,
            str(CONFIG),
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--dir",
            folder,
            "--aclfile",
            "",
            "--daemonize",
            "no",
        ],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(unix_socket_path=socket)
    try:
        while not Path(socket).exists() or not client.ping():
            time.sleep(0.05)
        empty = client.info("memory")["used_memory"]
        started_s = time.perf_counter()
        num_written = fill(socket, num_verdicts, per_example, path_of, output_of)
        elapsed_s = time.perf_counter() - started_s
        memory = client.info("memory")
        client.bgrewriteaof()
        while (
            client.info("persistence")["aof_rewrite_in_progress"]
            or client.info("persistence")["aof_rewrite_scheduled"]
        ):
            time.sleep(0.2)
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        return {
            "server": f"{client.info('server')['redis_version']}",
            "verdicts": num_written,
            "bytes_per_verdict": round((memory["used_memory"] - empty) / num_written, 1),
            "rss_bytes_per_verdict": round(memory["used_memory_rss"] / num_written, 1),
            "disk_bytes_per_verdict": round(disk / num_written, 1),
            "writes_per_s": round(num_written / elapsed_s),
        }
    finally:
        client.close()
        server.terminate()
        server.wait()


def fill(
    socket: str,
    num_verdicts: int,
    per_example: int,
    path_of: Callable[..., LayerPath],
    output_of: Callable[..., str],
) -> int:
    """Write distinct verdicts through the store; how many."""
    context = VerdictContext(
        schema=CONTEXT_SCHEMA,
        model_fingerprint="0" * 64,
        task="size",
        task_version="1",
        decoding="greedy",
        tie_threshold=0.5,
        num_layers=NUM_LAYERS,
    )
    rng = random.Random(0)
    store = RedisStore(f"unix://{socket}", context=context)
    entries = []
    num_written = 0
    for _ in range(num_verdicts // per_example):
        example = f"{rng.getrandbits(96):024x}"
        paths = set[LayerPath]()
        while len(paths) < per_example:
            paths.add(path_of(rng))
        for path in sorted(paths, key=lambda path: path.layers):
            verdict = Verdict(
                reward=float(rng.random() < 0.5),
                margin=rng.gauss(0, 1),
                output=output_of(rng),
                num_layer_tokens=len(path) * rng.randrange(60, 300),
            )
            entries.append((example, path, verdict))
        if len(entries) >= BATCH:
            store.put_many(entries)
            num_written += len(entries)
            entries = []
    store.put_many(entries)
    num_written += len(entries)
    assert not any((store.errors.num_failed, store.errors.num_corrupt))
    store.close()
    return num_written


if __name__ == "__main__":
    main()
