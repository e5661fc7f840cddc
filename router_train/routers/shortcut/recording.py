"""What readouts are taught by: the final state of each row of a path, and what sources changed.

Shapes: S sources, N rows, T tokens, D width.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from router_train.routers.lens_exit.answer_rows import AnswerRecorder
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import shallow_copy
from search_cluster.paths.layer_path import LayerPath


class ReadoutRecorder(AnswerRecorder):
    """Keeps what sources changed, and then the final state, which the norm would read.

    Its states of a row are S + 1: the changes in the order of the sources, and the final state.

    Args:
        loaded: the frozen model, with its bridges if it has any.
        path: the layers that run.
        sources: some of them, ascending.
    """

    def __init__(self, loaded: LoadedModel, path: LayerPath, sources: Sequence[int]) -> None:
        # Of a layer that runs twice the last run counts, as for the shortcut.
        self._positions = {
            max(position for position, layer in enumerate(path.layers) if layer == source): place
            for place, source in enumerate(sources)
        }
        self._num_states = len(sources) + 1
        super().__init__(loaded, path)

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> Tensor:
        """The states ``[S + 1, T, D]`` of a text."""
        self._passes.clear()
        ids_BT = torch.tensor([list(ids)], device=self._view.device)
        self._view.model(ids_BT, use_cache=False)
        states_STD = torch.stack([state[0] for state in self._passes.pop()])
        return states_STD

    def _hook_up(self, view: PreTrainedModel) -> None:
        view.model.norm = shallow_copy(view.model.norm)
        layers = view.model.layers
        layers[0].register_forward_pre_hook(self._begin_pass)
        for position, place in self._positions.items():
            layers[position].register_forward_hook(partial(self._keep_change, place))
        view.model.norm.register_forward_pre_hook(self._keep_final)

    def _begin_pass(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._passes.append([arguments[0][..., :0]] * self._num_states)

    def _keep_change(
        self, place: int, _: nn.Module, arguments: tuple[Any, ...], output: Tensor
    ) -> None:
        self._passes[-1][place] = output - arguments[0]

    def _keep_final(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._passes[-1][-1] = arguments[0]
