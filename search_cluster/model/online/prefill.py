"""Which layer runs next while prompts are routed.

Rows of a batch that wait for the same layer run it together. This module knows nothing about
attention and caches.

Shapes: T tokens of one prompt, D width.
"""

from collections import deque

from torch import Tensor

from search_cluster.errors import InvalidPathError
from search_cluster.model.online.chooser import ChosenPath, OnlineRouting


class OnlinePrompt:
    """One prompt on its way: which rows of the batch hold it, what it ran, what it waits for.

    Args:
        rows: the rows with these very tokens; they share one decision.
        num_tokens: the number of the prompt's tokens (T).
        routing: decides the path.
        num_layers: the model's depth.
    """

    def __init__(
        self, rows: tuple[int, ...], num_tokens: int, routing: OnlineRouting, num_layers: int
    ) -> None:
        self.rows = rows
        self.choice: ChosenPath | None = None
        self.discarded_layer_tokens = 0
        self._num_tokens = num_tokens
        self._num_layers = num_layers
        self._routing = routing
        self._ran: list[int] = []
        self._waiting: deque[int] = deque()
        self._started = False

    @property
    def next_layer(self) -> int | None:
        """The layer that this prompt runs next.

        It is ``None`` if the prompt has to be asked first, or has reached its end.
        """
        return self._waiting[0] if self._waiting else None

    @property
    def needs_asking(self) -> bool:
        """Whether the routing waits for states."""
        return self.choice is None and not self._waiting

    def ran_next_layer(self) -> None:
        """Takes note that `next_layer` has run."""
        self._ran.append(self._waiting.popleft())

    def ask(self, states_TD: Tensor) -> bool:
        """Gives the routing the current states.

        Returns:
            Whether the prompt has to start again from its embeddings.

        Raises:
            InvalidPathError: the routing names a layer that the model does not have, or a path of
                another depth.
        """
        try:
            if not self._started:
                self._started = True
                layers = next(self._routing)
            else:
                layers = self._routing.send(states_TD)
        except StopIteration as end:
            return self._choose(end.value)
        for layer in layers:
            if not 0 <= layer < self._num_layers:
                raise InvalidPathError(
                    f"the router asks for layer {layer}; the model has layers "
                    f"0..{self._num_layers - 1}"
                )
        self._waiting.extend(layers)
        return False

    def _choose(self, choice: ChosenPath) -> bool:
        if choice.path.num_layers != self._num_layers:
            raise InvalidPathError(
                f"the router chose path {choice.path} of a model of {choice.path.num_layers} "
                f"layers; this model has {self._num_layers}: train a router for it"
            )
        self.choice = choice
        layers = choice.path.layers
        if layers[: len(self._ran)] == tuple(self._ran):
            self._waiting.extend(layers[len(self._ran) :])
            return False
        self.discarded_layer_tokens = len(self._ran) * self._num_tokens
        self._ran.clear()
        self._waiting.extend(layers)
        return True


def next_step(prompts: list[OnlinePrompt]) -> tuple[int, list[OnlinePrompt]] | None:
    """The layer to run and the prompts that run it; ``None`` when all have reached their ends.

    The lowest layer that anybody waits for goes first: for paths that keep the model's order this
    is the shortest schedule that serves all, since whoever waits for a higher layer is overtaken by
    nobody.
    """
    layers = [layer for prompt in prompts if (layer := prompt.next_layer) is not None]
    if not layers:
        return None
    lowest = min(layers)
    return lowest, [prompt for prompt in prompts if prompt.next_layer == lowest]
