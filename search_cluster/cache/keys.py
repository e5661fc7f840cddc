"""Every key of the cache server: what a verdict depends on, prefixes, schemas, compact limits.

Layout (all keys start with `KEY_PREFIX`; ``ACL ~lps:*`` is enough for a user)::

    lps:context:<namespace>
        string: the context as JSON, for people; rewritten at every connect
    lps:v:<namespace>:{<example>}
        hash: encoded path -> encoded verdict, or `STORED_APART`
    lps:v:<namespace>:{<example>}:out
        hash: encoded path -> encoded verdict longer than `COMPACT_VALUE_BYTES`
    lps:l:<namespace>:{<example>}:<encoded path>
        string: who computes this verdict now; expires by itself
    lps:probe
        string: written at every connect to see whether it can be; expires by itself

No verdict expires: it stays true as long as what is named in its context stays the same.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from search_cluster.errors import ConfigError

KEY_PREFIX = "lps:"
"""The start of every key of this project."""
VERDICT_PREFIX = f"{KEY_PREFIX}v:"
CONTEXT_PREFIX = f"{KEY_PREFIX}context:"
CLAIM_PREFIX = f"{KEY_PREFIX}l:"
PROBE_KEY = f"{KEY_PREFIX}probe"
"""The key that is written to see whether a server takes writes; it expires by itself."""
APART_SUFFIX = ":out"
"""The end of the key of the sibling hash that holds verdicts with long outputs."""
CONTEXT_SCHEMA = 1
"""The `VerdictContext.schema` of this program; it changes when keys or the meaning of a verdict
change."""
VALUE_SCHEMA = 1
"""The first element of every encoded verdict; it changes when the codec changes."""
COMPACT_VALUE_BYTES = 64
"""The longest value with which Redis and Valkey keep a hash compact
(``hash-max-listpack-value``)."""
STORED_APART = b"\xc1"
"""What stands in the compact hash for a verdict in the sibling hash; a byte that msgpack never
writes."""
NAMESPACE_HEX_DIGITS = 16
"""The length of a namespace, which makes 64 bits: contexts on one server are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictContext:
    """Everything but example and path that a verdict depends on.

    Equal contexts share cached verdicts.

    Raises:
        ConfigError: a name is empty, or a number is out of its range.
    """

    schema: int
    """The `CONTEXT_SCHEMA` of the program that writes."""
    model_fingerprint: str
    """The hash of the model's content, revision and dtype."""
    task: str
    """The task's name."""
    task_version: str
    """The versions of prompt and grader."""
    decoding: str
    """How answers are decoded, such as ``greedy;max_new_tokens=24``."""
    tie_threshold: float
    """The gap in nats up to which a verdict is recomputed in canonical form; 0 where none is."""
    num_layers: int
    """The depth of the model; paths of another depth have no place in the namespace."""
    arithmetic: str = ""
    """The device and the kernels that 16-bit verdicts depend on
    (`search_cluster.model.kernels.kernels_of`); empty for float32, and then no part of the
    namespace."""

    def __post_init__(self) -> None:
        for name in ("model_fingerprint", "task", "task_version", "decoding"):
            if not getattr(self, name):
                raise ConfigError(
                    f"{name} is empty; cached verdicts need it, so that they are never mixed up"
                )
        if self.num_layers < 1 or not self.tie_threshold >= 0.0:
            raise ConfigError(
                f"num_layers is {self.num_layers} and tie_threshold {self.tie_threshold}; they are "
                "at least 1 and 0"
            )

    def canonical_json(self) -> str:
        """The serialisation that is hashed.

        Names are sorted, the text is ASCII, and numbers have their shortest exact form.
        """
        values = asdict(self) | {"tie_threshold": float(self.tie_threshold)}
        if not self.arithmetic:
            del values["arithmetic"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @property
    def namespace(self) -> str:
        """The hash of the context, as `NAMESPACE_HEX_DIGITS` hexadecimal digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:NAMESPACE_HEX_DIGITS]


def example_key(namespace: str, example_id: str) -> str:
    """The key of one example's hash.

    The braces keep all keys of an example in one slot of a cluster.
    """
    return f"{VERDICT_PREFIX}{namespace}:{{{example_id}}}"


def apart_key(namespace: str, example_id: str) -> str:
    """The key of the sibling hash with the example's long verdicts.

    It is in the same slot as `example_key`.
    """
    return example_key(namespace, example_id) + APART_SUFFIX


def claim_key(namespace: str, example_id: str, field: bytes) -> bytes:
    """The key of the claim on one verdict, which is in the same slot as `example_key`."""
    return f"{CLAIM_PREFIX}{namespace}:{{{example_id}}}:".encode() + field


def context_key(namespace: str) -> str:
    """The key of the namespace's description."""
    return f"{CONTEXT_PREFIX}{namespace}"
