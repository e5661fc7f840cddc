"""Verdicts as bytes and back.

The bytes are a msgpack array ``[schema, reward, margin, num_layer_tokens, output]``. Every verdict
has exactly one byte form, and what comes back equals what went in, margins to the last bit: a
search sees the same numbers from a warm cache as from a device. Rewards of 0 and 1 are integers (1
byte), others and margins are 64-bit floats. A verdict with an output of up to 45 bytes stays below
64 bytes. Nothing is ever pickled.
"""

import math

import msgpack

from search_cluster.cache.keys import VALUE_SCHEMA
from search_cluster.errors import CacheError, InvalidValueError
from search_cluster.tasks.verdict import Verdict

MAX_LAYER_TOKENS = 2**63 - 1
"""The largest number of layer tokens, which is also what the integer column of a corpus holds."""
NUM_ELEMENTS = 5


class VerdictDecodeError(CacheError):
    """Bytes that are no verdict of this schema.

    They are corrupt, truncated, foreign, or written by another version.
    """


def encode_verdict(verdict: Verdict) -> bytes:
    """The byte form of a verdict.

    Raises:
        InvalidValueError: ``num_layer_tokens`` is above `MAX_LAYER_TOKENS`.
    """
    num_layer_tokens = int(verdict.num_layer_tokens)
    if num_layer_tokens > MAX_LAYER_TOKENS:
        raise InvalidValueError(
            f"num_layer_tokens is {num_layer_tokens}; at most {MAX_LAYER_TOKENS} can be stored"
        )
    reward = float(verdict.reward)
    elements = [
        VALUE_SCHEMA,
        int(reward) if reward in (0.0, 1.0) else reward,
        None if verdict.margin is None else float(verdict.margin),
        num_layer_tokens,
        verdict.output,
    ]
    # surrogatepass: an output is stored whatever it holds; a grader decides what it is worth.
    packed: bytes = msgpack.packb(elements, unicode_errors="surrogatepass")
    return packed


def decode_verdict(data: bytes) -> Verdict:
    """The verdict that `encode_verdict` wrote.

    Raises:
        VerdictDecodeError: ``data`` is anything else.
    """
    try:
        elements = msgpack.unpackb(
            data, unicode_errors="surrogatepass", max_map_len=0, max_ext_len=0, max_bin_len=0
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise VerdictDecodeError(
            f"{_shown(data)} is not msgpack ({error}); delete the key"
        ) from error
    if type(elements) is not list or len(elements) != NUM_ELEMENTS:
        raise VerdictDecodeError(
            f"{_shown(data)} is not an array of {NUM_ELEMENTS} elements; delete the key"
        )
    schema, reward, margin, num_layer_tokens, output = elements
    if schema != VALUE_SCHEMA:
        raise VerdictDecodeError(
            f"{_shown(data)} has schema {schema!r}; this program reads {VALUE_SCHEMA}"
        )
    if (
        type(reward) not in (int, float)
        or not 0 <= reward <= 1
        or (margin is not None and not (type(margin) is float and math.isfinite(margin)))
        or type(num_layer_tokens) is not int
        or not 0 <= num_layer_tokens <= MAX_LAYER_TOKENS
        or type(output) is not str
    ):
        raise VerdictDecodeError(
            f"{_shown(data)} holds a wrong type or a value out of range; delete the key"
        )
    verdict = Verdict(
        reward=float(reward), margin=margin, output=output, num_layer_tokens=num_layer_tokens
    )
    if encode_verdict(verdict) != data:
        raise VerdictDecodeError(
            f"{_shown(data)} is not the canonical form of a verdict; delete the key"
        )
    return verdict


def _shown(data: bytes) -> str:
    return f"a cached value of {len(data)} bytes ({bytes(data[:16]).hex(' ')})"
