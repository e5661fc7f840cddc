import math
import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.cache.codec import (
    MAX_LAYER_TOKENS,
    VerdictDecodeError,
    decode_verdict,
    encode_verdict,
)
from search_cluster.cache.keys import COMPACT_VALUE_BYTES, STORED_APART
from search_cluster.errors import CacheError, InvalidValueError
from search_cluster.tasks.verdict import Verdict

VERDICTS = st.builds(
    Verdict,
    reward=st.floats(0.0, 1.0),
    margin=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    output=st.text(st.characters(exclude_categories=()), max_size=200),
    num_layer_tokens=st.integers(0, MAX_LAYER_TOKENS),
)
GOOD = Verdict(reward=1.0, margin=-0.25, output="Paris", num_layer_tokens=3120)


def check_decoded(data: bytes) -> bool:
    """Whether the bytes decode.

    It fails on any error but the promised one, and on a verdict with wrong types.
    """
    try:
        verdict = decode_verdict(data)
    except VerdictDecodeError:
        return False
    assert type(verdict) is Verdict
    assert type(verdict.reward) is float
    assert 0.0 <= verdict.reward <= 1.0
    assert verdict.margin is None or (
        type(verdict.margin) is float and math.isfinite(verdict.margin)
    )
    assert type(verdict.output) is str
    assert type(verdict.num_layer_tokens) is int
    assert 0 <= verdict.num_layer_tokens <= MAX_LAYER_TOKENS
    assert encode_verdict(verdict) == data
    return True


@given(VERDICTS)
def test_what_comes_back_equals_what_went_in(verdict: Verdict) -> None:
    assert decode_verdict(encode_verdict(verdict)) == verdict


def test_the_byte_form_is_fixed() -> None:
    assert (
        encode_verdict(GOOD).hex(" ")
        == "95 01 01 cb bf d0 00 00 00 00 00 00 cd 0c 30 a5 50 61 72 69 73"
    )


@pytest.mark.parametrize("reward", [1, True])
def test_a_reward_of_one_is_one_whatever_its_type(reward: float) -> None:
    verdict = Verdict(reward=reward, margin=None, output="", num_layer_tokens=0)
    assert type(decode_verdict(encode_verdict(verdict)).reward) is float


def test_short_verdicts_stay_compact() -> None:
    verdict = Verdict(reward=1.0, margin=math.pi, output="x" * 45, num_layer_tokens=2**32 - 1)
    assert len(encode_verdict(verdict)) <= COMPACT_VALUE_BYTES


def test_a_count_that_no_column_holds_is_refused() -> None:
    verdict = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=MAX_LAYER_TOKENS + 1)
    with pytest.raises(InvalidValueError, match="num_layer_tokens"):
        encode_verdict(verdict)


@pytest.mark.parametrize(
    "elements",
    [
        [2, 1, None, 1, "x"],  # a later schema
        [True, 1, None, 1, "x"],
        [1, 2, None, 1, "x"],
        [1, -0.5, None, 1, "x"],
        [1, math.nan, None, 1, "x"],
        [1, True, None, 1, "x"],
        [1, "1", None, 1, "x"],
        [1, 1.0, None, 1, "x"],  # not the canonical form
        [1, 1, math.nan, 1, "x"],
        [1, 1, math.inf, 1, "x"],
        [1, 1, 3, 1, "x"],
        [1, 1, None, -1, "x"],
        [1, 1, None, 2**63, "x"],
        [1, 1, None, True, "x"],
        [1, 1, None, 1.0, "x"],
        [1, 1, None, 1, b"x"],
        [1, 1, None, 1, None],
        [1, 1, None, 1, ["x"]],
        [1, 1, None, 1],
        [1, 1, None, 1, "x", 1],
        {"a": 1},
        {1: {2: 3}},
        "x",
        7,
        None,
        msgpack.ExtType(5, b"abc"),
        msgpack.Timestamp(0),
    ],
)
def test_foreign_values_are_refused(elements: object) -> None:
    with pytest.raises(VerdictDecodeError):
        decode_verdict(msgpack.packb(elements))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        STORED_APART,
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion elements
        b"\xdb\xff\xff\xff\xff",  # a text of 4 GB
        b"\x95\x01\x01\xc0\x01\xdb\xff\xff\xff\xffx",
        b"\x91" * 100_000,
        b"\x95\x01\x01\xc0\x01\xa1\xff",  # not UTF-8
        encode_verdict(GOOD) + b"\0",
        encode_verdict(GOOD)[:-1],
        b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    ],
)
def test_damaged_values_are_refused(data: bytes) -> None:
    with pytest.raises(VerdictDecodeError, match="a cached value of"):
        decode_verdict(data)


def test_the_error_belongs_to_the_cache() -> None:
    assert issubclass(VerdictDecodeError, CacheError)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_verdict_or_the_one_error(data: bytes) -> None:
    check_decoded(data)


@given(VERDICTS, st.data())
def test_every_truncation_is_refused(verdict: Verdict, data: st.DataObject) -> None:
    encoded = encode_verdict(verdict)
    assert not check_decoded(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


def test_ten_thousand_mutations_never_break_the_promise() -> None:
    rng = random.Random(0)
    num_refused = 0
    for number in range(10_000):
        data = bytearray(
            encode_verdict(
                Verdict(
                    reward=rng.random(),
                    margin=rng.gauss(0, 3),
                    output="x" * rng.randrange(60),
                    num_layer_tokens=number,
                )
            )
        )
        for _ in range(rng.randint(1, 4)):
            where = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[where] = rng.randrange(256)
                case 1:
                    data[where] ^= 1 << rng.randrange(8)
                case 2:
                    data[where:where] = rng.randbytes(rng.randint(1, 8))
                case _ if len(data) > 8:
                    del data[where : where + rng.randint(1, 8)]
        num_refused += not check_decoded(bytes(data or b"\0"))
    assert num_refused > 1_000
