"""Which layers each of several devices gets, so that the fullest has as little as can be."""

from collections.abc import Sequence
from itertools import accumulate


def split_layers(
    layer_bytes: Sequence[int], num_devices: int, *, first_bytes: int = 0, last_bytes: int = 0
) -> tuple[int, ...]:
    """How many layers each device has, in order; each has one at least.

    The weights of the fullest device are as few as they can be in contiguous blocks; earlier
    devices get the more of what that leaves open.

    Args:
        layer_bytes: the weights of each layer; there are as many as devices, or more.
        num_devices: the devices.
        first_bytes: what the first device has beside layers: the embeddings.
        last_bytes: what the last one has: the final norm and the head.
    """
    assert 1 <= num_devices <= len(layer_bytes), "each device has a layer"
    sums = (0, *accumulate(layer_bytes))
    last = num_devices - 1

    def cost(device: int, begin: int, end: int) -> int:
        extra = first_bytes if device == 0 else 0
        return sums[end] - sums[begin] + extra + (last_bytes if device == last else 0)

    # By the number of layers that are placed: the fullest device's bytes, and the counts.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for device in range(num_devices):
        rest = last - device
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for begin, (fullest, counts) in best.items():
            for end in range(begin + 1, len(layer_bytes) - rest + 1):
                item = (max(fullest, cost(device, begin, end)), (*counts, end - begin))
                known = found.get(end)
                if known is None or _is_better(item, known):
                    found[end] = item
        best = found
    return best[len(layer_bytes)][1]


def _is_better(
    one: tuple[int, tuple[int, ...]], other: tuple[int, tuple[int, ...]]
) -> bool:
    return one[0] < other[0] or (one[0] == other[0] and one[1] > other[1])


def fullest_bytes(
    layer_bytes: Sequence[int],
    counts: Sequence[int],
    *,
    first_bytes: int = 0,
    last_bytes: int = 0,
) -> int:
    """The weights of the device that has most of them."""
    ends = list(accumulate(counts))
    sums = [
        sum(layer_bytes[end - count : end]) for end, count in zip(ends, counts, strict=True)
    ]
    sums[0] += first_bytes
    sums[-1] += last_bytes
    return max(sums)
