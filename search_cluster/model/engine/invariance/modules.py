"""Invariant products in the place of a model's linear layers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from search_cluster.model.engine.invariance.products import InvariantProducts


class InvariantLinear(nn.Module):
    """A linear layer whose rows have the same bits in any company; weights are shared."""

    def __init__(self, inner: nn.Linear, products: InvariantProducts) -> None:
        super().__init__()
        self.weight = inner.weight
        self.bias = inner.bias
        self._products = products

    def forward(self, input: Tensor) -> Tensor:
        """What the layer computes."""
        return self._products.linear(input, self.weight, self.bias)


class ProductsOfAll(TorchFunctionMode):
    """While it is entered, all calls of ``torch.nn.functional.linear`` are invariant products.

    It is for modules that call it with weights of their own, such as the experts of a mixture; it
    costs a microsecond for every operation of torch.
    """

    def __init__(self, products: InvariantProducts) -> None:
        super().__init__()
        self._products = products

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run any other function as it is."""
        if func is linear:
            return self._products.linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
