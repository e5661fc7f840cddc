"""Which layers each of several devices gets, so that the fullest has as little as can be."""

from collections.abc import Callable, Sequence
from itertools import accumulate


def split_layers(
    layer_bytes: Sequence[int], num_devices: int, *, first_bytes: int = 0, last_bytes: int = 0
) -> tuple[int, ...]:
    """How many layers each device has, in order; each has one at least.

    The weights of the fullest device are as few as they can be in contiguous blocks, and those of
    the others as even as that allows.

    Args:
        layer_bytes: the weights of each layer; there are as many as devices, or more.
        num_devices: the devices.
        first_bytes: what the first device has beside layers: the embeddings.
        last_bytes: what the last one has: the final norm and the head.
    """
    assert 1 <= num_devices <= len(layer_bytes), "each device has a layer"
    ends = (first_bytes, last_bytes)
    fullest = _best(layer_bytes, num_devices, ends, max, limit=None)
    # Of all splits whose fullest device has as little, the most even one.
    limit = max(_loads(layer_bytes, fullest, ends))
    return _best(layer_bytes, num_devices, ends, lambda total, load: total + load * load, limit)


def _best(
    layer_bytes: Sequence[int],
    num_devices: int,
    ends: tuple[int, int],
    joined: Callable[[int, int], int],
    limit: int | None,
) -> tuple[int, ...]:
    """The split with the least value, the first of equals.

    Args:
        layer_bytes: the weights of each layer.
        num_devices: the devices.
        ends: what the first and the last one have beside layers.
        joined: the value of devices and one more, whose weights are given.
        limit: the weights that no device exceeds; ``None``: any.
    """
    sums, last = (0, *accumulate(layer_bytes)), num_devices - 1
    # By the number of layers that are placed: the value, and the counts.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for device in range(num_devices):
        extra = (ends[0] if device == 0 else 0) + (ends[1] if device == last else 0)
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for begin, (value, counts) in best.items():
            for end in range(begin + 1, len(layer_bytes) - (last - device) + 1):
                load = sums[end] - sums[begin] + extra
                if limit is not None and load > limit:
                    break
                item = joined(value, load), (*counts, end - begin)
                if end not in found or item[0] < found[end][0]:
                    found[end] = item
        best = found
    return best[len(layer_bytes)][1]


def _loads(layer_bytes: Sequence[int], counts: Sequence[int], ends: tuple[int, int]) -> list[int]:
    stops = list(accumulate(counts))
    loads = [
        sum(layer_bytes[stop - count : stop]) for stop, count in zip(stops, counts, strict=True)
    ]
    loads[0] += ends[0]
    loads[-1] += ends[1]
    return loads


def fullest_bytes(
    layer_bytes: Sequence[int],
    counts: Sequence[int],
    *,
    first_bytes: int = 0,
    last_bytes: int = 0,
) -> int:
    """The weights of the device that has most of them."""
    return max(_loads(layer_bytes, counts, (first_bytes, last_bytes)))
