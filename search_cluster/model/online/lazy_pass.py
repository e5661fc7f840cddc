"""A pass over a text in which a layer runs for a token when somebody needs it, and not before.

A token that stops at a depth keeps its state there. When a later token goes deeper, the layers that
are missing run first for all tokens that wait at their depth, in one call together with it: their
keys are then where a model would have them that had run everything at once. A token that waits
until the end never runs the rest.

What is exact: every state, key and value that is computed at all is the full path's for these
tokens, for it depends on the tokens before it at no greater depth, and these have run that far. So
a token that runs the whole path reads the full path's logits, whatever stopped before it. (Sums of
several rows at once round otherwise than those of one, in the last digits; where nothing stops,
calls are the plain model's, to the bit.) What is not exact is what an exit reads, and so which
tokens follow.

Shapes: T tokens, D width, H width of a rotary embedding.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import InvalidPathError
from search_cluster.model.anatomy import layer_type_of
from search_cluster.model.bridge.bridges import bridges_of
from search_cluster.model.devices.layer_devices import require_one_device
from search_cluster.model.online.inputs import layer_mask, layer_rotaries
from search_cluster.model.online.token_exits import TokenExit, TokenExits
from search_cluster.paths.jumps import steps_of
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Waiting:
    """Neighbouring tokens that have run equally far."""

    depth: int
    hidden_1TD: Tensor
    rotaries: Mapping[str, tuple[Tensor, Tensor]]
    """Cosine and sine ``[1, T, H]`` by layer type, as they were when the tokens came: some families
    scale by the longest position so far."""

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.hidden_1TD.shape[1]

    def before(self, later: "_Waiting") -> "_Waiting":
        """Both, as one; they have run equally far."""
        assert self.depth == later.depth
        return _Waiting(
            depth=self.depth,
            hidden_1TD=torch.cat([self.hidden_1TD, later.hidden_1TD], dim=1),
            rotaries={
                name: (
                    torch.cat([pair[0], later.rotaries[name][0]], dim=1),
                    torch.cat([pair[1], later.rotaries[name][1]], dim=1),
                )
                for name, pair in self.rotaries.items()
            },
        )


class LazyPass:
    """One text on its way. Every token has run at least as far as all that come after it.

    Args:
        model: a causal LM of a supported family, with bridges or without; never changed.
        path: the layers, none of them twice.

    Raises:
        InvalidPathError: a layer runs twice, so that it would need two places for its keys.
        ModelError: the model's layers are on several devices.
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(self, model: PreTrainedModel, path: LayerPath) -> None:
        if max(path.counts()) > 1:
            raise InvalidPathError(
                f"path {path} runs a layer twice; tokens stop by themselves on paths that do not"
            )
        require_one_device(model, "a pass whose tokens stop by themselves")
        self._model = model
        self.path = path
        self._steps, self._bridges = steps_of(path), bridges_of(model)
        self._types = [layer_type_of(model.config, layer) for layer in path.layers]
        self._cache = DynamicCache(config=model.config)
        self._waiting: list[_Waiting] = []
        self._num_new = 0
        self.num_tokens = 0
        """The tokens of the text so far."""
        self.num_layer_tokens = 0
        """How often a layer has run for a token."""
        self.num_layer_calls = 0
        """How often a layer was called, for whatever tokens."""

    def append(self, ids_T: Tensor) -> None:
        """Put tokens at the end of the text; nothing runs yet."""
        if self._waiting and self._waiting[0].depth == len(self.path):
            del self._waiting[0]  # nobody needs the states that have reached the end
        hidden_1TD = self._model.model.embed_tokens(ids_T[None])
        positions_1T = torch.arange(
            self.num_tokens, self.num_tokens + len(ids_T), device=ids_T.device
        )[None]
        new = _Waiting(
            depth=0,
            hidden_1TD=hidden_1TD,
            rotaries=layer_rotaries(
                self._model.config,
                set(self._types),
                self._model.model.rotary_emb,
                hidden_1TD,
                positions_1T,
            ),
        )
        self._push(new)
        self._num_new = len(ids_T)
        self.num_tokens += len(ids_T)

    def run_to(self, depth: int) -> Tensor:
        """The states ``[1, T, D]`` of the tokens that were appended last, at this depth or deeper.

        Whoever waits at a lower depth comes along.
        """
        while self._waiting[-1].depth < depth:
            shallowest = self._waiting.pop()
            until = min(depth, self._waiting[-1].depth) if self._waiting else depth
            self._push(self._run(shallowest, until))
        return self._waiting[-1].hidden_1TD[:, -self._num_new :]

    def read(self, exits: TokenExits) -> tuple[Tensor, TokenExit]:
        """Run the tokens that were appended last as far as the last of them wants to go.

        Returns:
            The states ``[1, T, D]`` that the final norm reads of them, and where they stopped.
        """
        reading = exits.begin()
        try:
            depth = next(reading)
            while True:
                depth = reading.send(self.run_to(depth)[0, -1:])
        except StopIteration as end:
            stopped: TokenExit = end.value
        hidden_1TD = self.run_to(stopped.depth)
        last = self.path.layers[stopped.depth - 1]
        return self._crossed(hidden_1TD, last, self.path.num_layers), stopped

    def fork(self) -> "LazyPass":
        """A pass that goes on from here by itself."""
        twin = copy.copy(self)
        twin._cache = copy.deepcopy(self._cache)
        twin._waiting = list(self._waiting)
        return twin

    def _push(self, new: _Waiting) -> None:
        if self._waiting and self._waiting[-1].depth == new.depth:
            new = self._waiting.pop().before(new)
        self._waiting.append(new)

    def _run(self, tokens: _Waiting, until: int) -> _Waiting:
        """The tokens at a later depth; those before them have all run so far."""
        hidden_1TD = tokens.hidden_1TD
        first = self.num_tokens - tokens.num_tokens
        positions_1T = torch.arange(first, self.num_tokens, device=hidden_1TD.device)[None]
        masks: dict[str, Tensor | None] = {}
        for place in range(tokens.depth, until):
            layer, layer_type = self.path.layers[place], self._types[place]
            hidden_1TD = self._crossed(hidden_1TD, *self._steps[place])
            if layer_type not in masks:
                masks[layer_type] = layer_mask(
                    self._model.config, layer_type, hidden_1TD, None, self._cache, layer
                )
            hidden_1TD = self._model.model.layers[layer](
                hidden_1TD,
                attention_mask=masks[layer_type],
                position_ids=positions_1T,
                position_embeddings=tokens.rotaries[layer_type],
                past_key_values=self._cache,
                use_cache=True,
            )
            self.num_layer_calls += 1
            self.num_layer_tokens += tokens.num_tokens
        return _Waiting(depth=until, hidden_1TD=hidden_1TD, rotaries=tokens.rotaries)

    def _crossed(self, hidden_1TD: Tensor, before: int, after: int) -> Tensor:
        bridge = None if self._bridges is None else self._bridges.at(before, after)
        return hidden_1TD if bridge is None else bridge(hidden_1TD)
