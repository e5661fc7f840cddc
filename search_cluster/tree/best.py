"""What a finished search hands on: the best paths and the Pareto front.

Margins take no part: they carry arithmetic noise, and noise must not choose.
"""

from collections.abc import Sequence

from search_cluster.paths.layer_path import LayerPath

RewardedPath = tuple[LayerPath, float]


def best_paths(evaluated: Sequence[RewardedPath], *, num_best: int) -> list[LayerPath]:
    """The right paths worth keeping, shortest first, equal lengths in the order of their layers.

    Where identity is right, only identity itself and strictly shorter right paths count: a longer
    path that is right as well wins nothing. Where identity is wrong, every right path counts. If no
    path is right, the list is empty.

    Args:
        evaluated: paths with their rewards, identity first.
        num_best: the largest number of paths to keep.
    """
    identity, identity_reward = evaluated[0]
    right = [path for path, reward in evaluated if reward >= 1.0]
    if identity_reward >= 1.0:
        shorter = [path for path in right if len(path) < len(identity)]
        right = shorter or [identity]
    return sorted(right, key=lambda path: (len(path), path.layers))[:num_best]


def pareto_front(evaluated: Sequence[RewardedPath]) -> list[LayerPath]:
    """The paths that no other path beats in both reward (up) and length (down), shortest first.

    See CoLa, section 3. Of several paths with equal reward and length the one with the smallest
    layers stands for all.
    """
    front: list[LayerPath] = []
    best_reward = -1.0
    for path, reward in sorted(
        evaluated, key=lambda item: (len(item[0]), -item[1], item[0].layers)
    ):
        if reward > best_reward:
            front.append(path)
            best_reward = reward
    return front
