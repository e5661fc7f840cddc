"""Fixed splits by content hash.

Where a question belongs does not depend on its row, its file or its neighbours.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

THREE_WAY: Mapping[str, int] = MappingProxyType({"train": 70, "validation": 15, "test": 15})
"""The percentage of each split, for a source without splits of its own."""
TRAIN_VALIDATION: Mapping[str, int] = MappingProxyType({"train": 85, "validation": 15})
"""The same, for a training part whose source has a test part but no validation part."""
VALIDATION_TEST: Mapping[str, int] = MappingProxyType({"validation": 50, "test": 50})
"""The same, for a held-out part whose source has no other."""


def normalize_text(text: str) -> str:
    """The text with case and white space levelled.

    The same question typed otherwise is then the same text.
    """
    return " ".join(text.casefold().split())


def split_of(text: str, shares: Mapping[str, int] = THREE_WAY) -> str:
    """The split of a question or fact.

    It is the first 8 bytes of sha256(normalised text) modulo 100, cut at ``shares``.

    Args:
        text: what must never cross splits: a question's text, or the fact behind several questions.
        shares: the percentage of each split; they add up to 100.
    """
    point = int.from_bytes(hashlib.sha256(normalize_text(text).encode()).digest()[:8], "big") % 100
    for split, percent in shares.items():
        if point < percent:
            return split
        point -= percent
    raise AssertionError(f"shares {dict(shares)} do not add up to 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPart:
    """The published part that a split is taken from."""

    part: str
    """The part's own name."""
    shares: Mapping[str, int] | None = None
    """The percentage of each split that is cut from it; ``None`` if the split is all of it."""


def cut_parts(parts: Sequence[str]) -> dict[str, SplitPart]:
    """Where each of our splits is taken from, if a publisher has one to three parts.

    The last of several parts is the test. What is missing is cut from the first part by hash of
    the question: 85/15 beside another part, else 70/15/15.

    Args:
        parts: names of the parts for training, validation and test, in this order, those that
            there are.
    """
    if len(parts) >= 3:
        return {
            split: SplitPart(part=part)
            for split, part in zip(THREE_WAY, (parts[0], parts[1], parts[-1]), strict=True)
        }
    if len(parts) == 2:
        cut = SplitPart(part=parts[0], shares=TRAIN_VALIDATION)
        return {"train": cut, "validation": cut, "test": SplitPart(part=parts[1])}
    return {split: SplitPart(part=parts[0], shares=THREE_WAY) for split in THREE_WAY}


def cut_note(cut: Mapping[str, SplitPart]) -> str:
    """What a user should know of splits that are cut; empty if none is."""
    first = cut["train"]
    if first.shares is None:
        return ""
    shares = ", ".join(f"{percent} % {split}" for split, percent in first.shares.items())
    rest = "" if "test" in first.shares else f"; test is its {cut['test'].part!r}"
    return f"its part {first.part!r} is cut by hash of the question into {shares}{rest}"
