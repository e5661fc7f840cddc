"""What a cache server holds, counted by reading: nothing is written, no verdict is fetched."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from search_cluster.cache.keys import APART_SUFFIX, CONTEXT_PREFIX, VERDICT_PREFIX, context_key
from search_cluster.cache.redis.client import Command, RedisClient, Refusal

MAX_KEYS = 100_000
"""The number of keys that one census looks at.

They take about a second of a server's time, between the requests of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCount:
    """The verdicts of one context."""

    namespace: str
    context: dict[str, Any] | None
    """What the verdicts depend on, as its writer said; ``None`` if that is missing or damaged."""
    num_examples: int
    num_verdicts: int
    num_apart: int
    """How many of these have a long output and lie in a hash of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCensus:
    """What a server holds for this project."""

    shown_url: str
    """The server's URL without its password."""
    contexts: tuple[ContextCount, ...]
    """The contexts, those with most verdicts first."""
    is_complete: bool
    """Whether all keys were counted; else the counts are those of the first `MAX_KEYS` keys."""
    server_version: str | None
    """The server's name and version; ``None`` if the user may not ask."""
    used_memory_bytes: int | None
    """The memory of the server, or of all primaries of a cluster; ``None`` if the user may not
    ask."""


def take_census(client: RedisClient, *, max_keys: int = MAX_KEYS) -> CacheCensus:
    """Count contexts, examples and verdicts.

    Args:
        client: the server's client; used from this thread only.
        max_keys: where to stop counting.

    Raises:
        CacheError: the server does not answer, or refuses to be read.
    """
    keys, is_complete = _verdict_keys(client, max_keys)
    lengths = [
        0 if isinstance(answer, Refusal) else int(answer)
        for answer in client.run(_each("HLEN", keys))
    ]
    examples: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    for key, length in zip(keys, lengths, strict=True):
        namespace = key.removeprefix(VERDICT_PREFIX).partition(":")[0]
        if key.endswith(APART_SUFFIX):
            apart[namespace] += length
        else:
            examples[namespace] += 1
            verdicts[namespace] += length
    namespaces = sorted(examples | apart | dict.fromkeys(_described(client, max_keys), 0))
    contexts = [
        ContextCount(
            namespace=namespace,
            context=_context(client, namespace),
            num_examples=examples[namespace],
            num_verdicts=verdicts[namespace],
            num_apart=apart[namespace],
        )
        for namespace in namespaces
    ]
    facts = client.info()
    memory = [item["used_memory"] for item in facts if isinstance(item.get("used_memory"), int)]
    return CacheCensus(
        shown_url=client.shown_url,
        contexts=tuple(sorted(contexts, key=lambda item: (-item.num_verdicts, item.namespace))),
        is_complete=is_complete,
        server_version=_version(facts[0]) if facts else None,
        used_memory_bytes=sum(memory) if memory else None,
    )


def _verdict_keys(client: RedisClient, max_keys: int) -> tuple[list[str], bool]:
    return _scan(client, f"{VERDICT_PREFIX}*", max_keys)


def _described(client: RedisClient, max_keys: int) -> list[str]:
    keys, _ = _scan(client, f"{CONTEXT_PREFIX}*", max_keys)
    return [key.removeprefix(CONTEXT_PREFIX) for key in keys]


def _scan(client: RedisClient, pattern: str, max_keys: int) -> tuple[list[str], bool]:
    """The keys of a pattern, each once, and whether these are all."""
    found: dict[str, None] = {}
    for key in client.scan(pattern):
        if len(found) >= max_keys:
            return list(found), False
        found[key.decode("utf-8", "replace")] = None
    return list(found), True


def _context(client: RedisClient, namespace: str) -> dict[str, Any] | None:
    text = client.run([("GET", context_key(namespace))])[0]
    try:
        context = json.loads(text) if isinstance(text, bytes) else None
    except ValueError:
        return None
    return context if isinstance(context, dict) else None


def _version(facts: dict[str, Any]) -> str | None:
    for name, key in (("Valkey", "valkey_version"), ("Redis", "redis_version")):
        if key in facts:
            return f"{name} {facts[key]}"
    return None


def _each(name: str, keys: list[str]) -> list[Command]:
    return [(name, key) for key in keys]
