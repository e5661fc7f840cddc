"""How the verdicts of one namespace lie on the server.

Here are the commands that read and write them, and what the answers mean. This module talks to
nobody.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from search_cluster.cache.codec import VerdictDecodeError, decode_verdict
from search_cluster.cache.keys import COMPACT_VALUE_BYTES, STORED_APART, apart_key, example_key
from search_cluster.cache.redis.client import Command
from search_cluster.cache.redis.write_buffer import WriteKey
from search_cluster.tasks.verdict import Verdict

logger = logging.getLogger(__name__)

KeyOf = Callable[[str, str], str]
"""Either `example_key` or `apart_key`."""
Fields = Mapping[str, list[bytes]]
"""For each example the fields that a read asks for."""


def read_commands(
    key_of: KeyOf, namespace: str, wanted: Iterable[WriteKey]
) -> tuple[list[Command], Fields]:
    """One command per example, and what `read_values` needs to understand the answers."""
    fields: defaultdict[str, list[bytes]] = defaultdict(list)
    for example_id, field in wanted:
        fields[example_id].append(field)
    return [("HMGET", key_of(namespace, key), *names) for key, names in fields.items()], fields


def read_values(fields: Fields, answers: Sequence[Any]) -> dict[WriteKey, bytes | None]:
    """The raw values in the answers.

    Keys whose command was refused, or not answered, are left out.
    """
    values: dict[WriteKey, bytes | None] = {}
    for (example_id, names), answer in zip(fields.items(), answers, strict=False):
        if isinstance(answer, list):
            values |= {(example_id, name): value for name, value in zip(names, answer, strict=True)}
    return values


def write_commands(namespace: str, key: WriteKey, value: bytes) -> list[Command]:
    """The commands that write one verdict unless there is one."""
    example_id, field = key
    compact = example_key(namespace, example_id)
    if len(value) <= COMPACT_VALUE_BYTES:
        return [("HSETNX", compact, field, value)]
    # The long value first: whoever reads the marker finds it. The marker's writer decides who was
    # first.
    return [
        ("HSETNX", apart_key(namespace, example_id), field, value),
        ("HSETNX", compact, field, STORED_APART),
    ]


def delete_commands(namespace: str, keys: Iterable[WriteKey]) -> list[Command]:
    """The commands that remove values, wherever they lie."""
    return [
        ("HDEL", key_of(namespace, example_id), field)
        for example_id, field in keys
        for key_of in (example_key, apart_key)
    ]


def is_verdict(value: bytes) -> bool:
    """Whether a raw value is a verdict."""
    try:
        decode_verdict(value)
    except VerdictDecodeError:
        return False
    return True


def decode_all(
    values: Mapping[WriteKey, bytes | None],
) -> tuple[dict[WriteKey, Verdict], list[WriteKey]]:
    """The verdicts, and the keys of values that are none."""
    verdicts: dict[WriteKey, Verdict] = {}
    corrupt: list[WriteKey] = []
    for key, value in values.items():
        if value is None:
            continue
        try:
            verdicts[key] = decode_verdict(value)
        except VerdictDecodeError as error:
            logger.debug("%s", error)
            corrupt.append(key)
    return verdicts, corrupt
