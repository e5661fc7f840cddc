"""The layer path: which layers of a model run, in which order.

This module knows nothing about models, tensors or search.
"""

from dataclasses import dataclass
from itertools import pairwise
from operator import le

from search_cluster.errors import InvalidPathError

SKIP, EXECUTE, REPEAT = 0, 1, 2
"""The decisions of an order-keeping path for a layer (Dr.LLM, arXiv 2510.12773, section 3)."""


@dataclass(frozen=True, slots=True)
class LayerPath:
    """An immutable, non-empty tuple of layer indices in ``[0, num_layers)``, in execution order.

    Two paths are equal if they run the same layers of a model of the same depth. The depth belongs
    to the path, so that no default of another model's depth can leak into it.

    Raises:
        InvalidPathError: the path is empty, or names a layer that the model does not have.
    """

    layers: tuple[int, ...]
    num_layers: int

    def __post_init__(self) -> None:
        if self.num_layers < 1:
            raise InvalidPathError(f"num_layers is {self.num_layers}; a model has at least 1 layer")
        if not self.layers:
            raise InvalidPathError("path () is empty; a layer path runs at least one layer")
        for layer in self.layers:
            if not 0 <= layer < self.num_layers:
                raise InvalidPathError(
                    f"path {self.layers} uses layer {layer}; the model has layers "
                    f"0..{self.num_layers - 1}"
                )

    @classmethod
    def identity(cls, num_layers: int) -> "LayerPath":
        """The path of the plain model: ``(0, ..., num_layers - 1)``."""
        return cls(tuple(range(num_layers)), num_layers)

    @classmethod
    def unchecked(cls, layers: tuple[int, ...], num_layers: int) -> "LayerPath":
        """The path of layers that are known to be legal, such as an edit of a path.

        It is 10 times as fast to build.
        """
        path = _new_path(cls)
        _set_field(path, "layers", layers)
        _set_field(path, "num_layers", num_layers)
        return path

    @classmethod
    def from_decisions(cls, decisions: tuple[int, ...]) -> "LayerPath":
        """The order-keeping path that runs layer ``i`` ``decisions[i]`` times.

        Args:
            decisions: one count per layer, 0 (skip), 1 (execute), 2 (repeat) or more, of shape
                ``[num_layers]``.

        Raises:
            InvalidPathError: a count is negative, or all are 0.
        """
        if any(count < 0 for count in decisions):
            raise InvalidPathError(
                f"decisions {decisions} hold a negative count; each layer runs 0 or more times"
            )
        layers = tuple(layer for layer, count in enumerate(decisions) for _ in range(count))
        return cls(layers, len(decisions))

    @property
    def is_identity(self) -> bool:
        """Whether this is the plain model's path."""
        return len(self.layers) == self.num_layers and self.layers == tuple(range(self.num_layers))

    @property
    def keeps_order(self) -> bool:
        """Whether layers run in the model's order, copies of a layer directly after each other."""
        return all(map(le, self.layers, self.layers[1:]))

    def counts(self) -> tuple[int, ...]:
        """How often each layer runs, whatever the order; of shape ``[num_layers]``."""
        counts = [0] * self.num_layers
        for layer in self.layers:
            counts[layer] += 1
        return tuple(counts)

    def decisions(self) -> tuple[int, ...]:
        """For each layer 0 (skip), 1 (execute), 2 (repeat) or a higher count.

        The shape is ``[num_layers]``.

        Raises:
            InvalidPathError: the path re-orders layers, so that counts alone do not describe it.
        """
        if not self.keeps_order:
            raise InvalidPathError(
                f"path {self} re-orders layers, so it has no decision vector; only order-keeping "
                "paths have one"
            )
        return self.counts()

    def runs(self) -> list[tuple[int, int]]:
        """The longest runs of consecutive layers, in order: first and last layer of each."""
        layers = self.layers
        starts = [0, *(at for at, (a, b) in enumerate(pairwise(layers), start=1) if b != a + 1)]
        return [
            (layers[start], layers[stop - 1]) for start, stop in pairwise([*starts, len(layers)])
        ]

    def __len__(self) -> int:
        return len(self.layers)

    def __str__(self) -> str:
        """A compact form: ``0-5,7,8,8,9-29`` (runs of consecutive layers joined)."""
        return ",".join(
            str(first) if last == first else f"{first}-{last}" for first, last in self.runs()
        )


# Looked up once: millions of paths are built.
_new_path = object.__new__
_set_field = object.__setattr__
