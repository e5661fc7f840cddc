"""Whether a cache server can be worked with.

It has to answer, and to let this user read and write the project's keys.
"""

from collections.abc import Sequence
from typing import Any

from search_cluster.cache.keys import PROBE_KEY, VERDICT_PREFIX
from search_cluster.cache.redis.client import Command, LinkLostError, RedisClient, Refusal
from search_cluster.errors import CacheError

PROBE_MS = 1000
"""The milliseconds after which the server forgets the key that is written to it."""
PROBES: tuple[Command, ...] = (
    ("PING",),
    ("SET", PROBE_KEY, "1", "PX", str(PROBE_MS)),
    ("HMGET", f"{VERDICT_PREFIX}probe", "field"),
)


def require_usable(client: RedisClient) -> None:
    """Pass if the server can be worked with; else close the client.

    Raises:
        CacheError: it can't be reached, refuses the user, or can't be written to or read.
    """
    try:
        refused = first_refusal(client.run(PROBES))
        problem = None if refused is None else refused.message
    except LinkLostError as error:
        problem = str(error.__cause__)
    if problem is not None:
        client.close()
        raise CacheError(
            f"cache server {client.shown_url} can't be used: {problem}; it has to answer PING and "
            "to let keys lps:* be read and written; check that it runs, its user and password, or "
            "use the redis url 'embedded' or 'none'"
        )


def first_refusal(answers: Sequence[Any]) -> Refusal | None:
    """The first answer that concerns more than its own key."""
    refusals = (answer for answer in answers if isinstance(answer, Refusal))
    return next((refusal for refusal in refusals if not refusal.concerns_key_only), None)
