"""Routers that decide while the prompt runs, so that choosing a path costs no pass of its own.

A router with `begin_routing` is asked inside the routed model's prompt pass. One without is asked
beforehand by `route`, which is right for fixed paths and for routers that read nothing of the
frozen model's layers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from router_train.routers.base import RoutedPath, Router
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.chooser import OnlineRouting, keep_choice
from search_cluster.paths.layer_path import LayerPath


@runtime_checkable
class OnlineRouter(Protocol):
    """A router that reads the states of the layers which the prompt runs through anyway."""

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> OnlineRouting:
        """Yield layers to run, and return a `RoutedPath`.

        It is sent the states ``[T, D]`` that these layers leave.

        Its ``num_layer_tokens`` counts what the choice costs beside the layers that it asks for: as
        a rule nothing.

        Args:
            loaded: the model that the router was trained for.
            context_ids: the prompt's T tokens, without padding.
            threshold: a decision with a lower probability falls back to running the layer once; 0
                trusts every one.
        """
        ...


def begin_online_routing(
    router: Router, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
) -> OnlineRouting:
    """The routing of any router; one that only knows `route` chooses at once."""
    if isinstance(router, OnlineRouter):
        return router.begin_routing(loaded, context_ids, threshold=threshold)
    return keep_choice(router.route(loaded, context_ids, threshold=threshold))


def route_online(
    loaded: LoadedModel, context_ids: Sequence[int], routing: OnlineRouting
) -> RoutedPath:
    """The choice alone, after a pass over the prompt; its cost is that of `cost_on_top`."""
    return route_batch_online(loaded, context_ids, [routing])[0]


def cost_on_top(path: LayerPath, ran: Sequence[int], num_tokens: int) -> int:
    """The (layer, token) applications that a choice cost on top of answering along its path.

    A routed model decides inside its prompt pass, so layers with which the path begins are those of
    the answer. Where it begins otherwise, the prompt starts again, and all that ran was in vain.

    Args:
        path: the choice.
        ran: the layers that the prompt ran through before it.
        num_tokens: the length of the prompt.
    """
    return 0 if path.layers[: len(ran)] == tuple(ran) else len(ran) * num_tokens


def route_batch_online(
    loaded: LoadedModel, context_ids: Sequence[int], routings: Sequence[OnlineRouting]
) -> tuple[RoutedPath, ...]:
    """The choices of several routings for one prompt; layers that several run alike are run once.

    They go forward together, so that few states are held at a time. Each choice costs what it would
    have cost alone.
    """
    choices: dict[int, RoutedPath] = {}
    ran: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(routings)), ())
    with torch.inference_mode():
        prompt_pass = LayerwisePass(
            loaded.model, torch.tensor([list(context_ids)], device=loaded.model.device)
        )
        states: dict[tuple[int, ...], Tensor] = {(): prompt_pass.hidden_BTD}
        asked = False
        while ran:
            for place, before in list(ran.items()):
                try:
                    layers = (
                        routings[place].send(states[before][0]) if asked else next(routings[place])
                    )
                except StopIteration as end:
                    routed = cast(RoutedPath, end.value)
                    cost = cost_on_top(routed.path, before, len(context_ids))
                    choices[place] = replace(
                        routed, num_layer_tokens=routed.num_layer_tokens + cost
                    )
                    del ran[place]
                    continue
                for layer in layers:
                    after = (*before, layer)
                    if after not in states:
                        prompt_pass.hidden_BTD = states[before]
                        prompt_pass.step(layer)
                        states[after] = prompt_pass.hidden_BTD
                    before = after
                ran[place] = before
            states = {layers: states[layers] for layers in ran.values()}
            asked = True
    return tuple(choices[place] for place in range(len(routings)))
