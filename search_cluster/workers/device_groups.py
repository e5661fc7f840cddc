"""The devices of one process in groups, each for a model whose layers share them."""

from search_cluster.model.runtime import num_visible_gpus


def first_devices(device: str, num_devices: int, num_workers: int) -> tuple[str, ...]:
    """The first device of each group; workers of one device each share the one that is named.

    Args:
        device: what the settings name; with a number it is the first of the only group.
        num_devices: of each group.
        num_workers: there are no more groups than workers.
    """
    num_groups = min(num_workers, num_visible_gpus() // num_devices)
    if num_devices == 1 or num_groups < 2 or ":" in device:
        return (device,)
    return tuple(f"cuda:{num_devices * group}" for group in range(num_groups))
