"""Fixed splits by content hash.

Where a question belongs does not depend on its row, its file or its neighbours.
"""

import hashlib
from collections.abc import Mapping
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
