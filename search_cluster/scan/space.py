"""The paths that a scan tries: single edits, paths of a list, and what grows from survivors."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from search_cluster.errors import InvalidPathError
from search_cluster.paths.cost import BARE, PathCosts, with_crossing
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import TWICE, Edit, edits_of_path, path_of_edits
from search_cluster.scan.settings import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A path that is compared with the plain one, and where it comes from."""

    path: LayerPath
    edits: tuple[Edit, ...]
    """What was done to the plain path, in the order of the blocks; none for a listed path that no
    edits make."""
    step: int
    """0: what a scan begins with; 1 and more: the steps of growth."""
    crossing: float = 0.0
    """What the bridges that it crosses cost, in layers."""

    @property
    def layers(self) -> int | float:
        """What the path costs with all that it crosses, as `PathCosts.layers` counts it."""
        return with_crossing(self.path, self.crossing)

    @property
    def is_single(self) -> bool:
        """Whether it is one edit of the plain path."""
        return len(self.edits) == 1


def single_edits(
    num_layers: int, families: Collection[str], *, max_block: int, passes: int
) -> Iterator[Edit]:
    """All edits of one block: skips first, then repeats of two passes, three, ..., each by layers.

    Skipping all layers leaves no path, so it is not among them.
    """
    counts = [0] * (Family.SKIP in families)
    counts += range(TWICE, passes + 1) if Family.REPEAT in families else ()
    for count in counts:
        for first in range(num_layers):
            for end in range(first + 1, min(num_layers, first + max_block) + 1):
                if count or end - first < num_layers:
                    yield Edit(first, end, count)


def first_candidates(
    num_layers: int,
    families: Collection[str],
    *,
    max_block: int,
    passes: int,
    listed: Iterable[LayerPath] = (),
    costs: PathCosts = BARE,
) -> tuple[Candidate, ...]:
    """What a scan begins with, each path once, in a fixed order, identity not among them."""
    found: dict[LayerPath, Candidate] = {}

    def add(path: LayerPath, edits: tuple[Edit, ...]) -> None:
        crossing = costs.crossing(path)
        found.setdefault(path, Candidate(path=path, edits=edits, step=0, crossing=crossing))

    for edit in single_edits(num_layers, families, max_block=max_block, passes=passes):
        add(path_of_edits([edit], num_layers), (edit,))
    for path in listed:
        add(path, edits_of_path(path))
    return tuple(item for item in found.values() if not item.path.is_identity)


def grown_candidates(
    bases: Sequence[Candidate],
    singles: Sequence[Candidate],
    *,
    step: int,
    max_edits: int,
    known: Collection[LayerPath],
    costs: PathCosts = BARE,
) -> tuple[Candidate, ...]:
    """Bases with one more edit, each path once, in the order of the bases, then of the singles.

    Args:
        bases: paths of at least one edit; those of a list have none and can't be added to.
        singles: paths of one edit.
        step: the step of growth.
        max_edits: in a path at most.
        known: paths that were tried before.
        costs: what paths cost.
    """
    found: dict[LayerPath, Candidate] = {}
    for base in bases:
        if not 0 < len(base.edits) < max_edits:
            continue
        for single in singles:
            edits = tuple(sorted((*base.edits, *single.edits)))
            try:
                path = path_of_edits(edits, base.path.num_layers)
            except InvalidPathError:  # the blocks overlap, or nothing is left to run
                continue
            if not path.is_identity and path not in known:
                crossing = costs.crossing(path)
                grown = Candidate(path=path, edits=edits, step=step, crossing=crossing)
                found.setdefault(path, grown)
    return tuple(found.values())
