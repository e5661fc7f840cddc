"""Routers that decide while the prompt runs, so that choosing a path costs no pass of its own.

A router with `steer` is asked inside the routed model's prompt pass. One without is asked beforehand by `route`: right
for fixed paths and for routers that read nothing of the frozen model's layers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

import torch

from router_train.routers.base import RoutedPath, Router
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loading import LoadedModel
from search_cluster.model.steering import Steering, keep_choice


@runtime_checkable
class SteeringRouter(Protocol):
    """A router that reads the states of the layers which the prompt runs through anyway."""

    def steer(self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float) -> Steering:
        """Yields layers to run, is sent the states ``[T, D]`` that they leave, and returns a `RoutedPath`.

        Its ``num_layer_tokens`` counts what the choice costs beside the layers that it asks for: as a rule nothing.

        Args:
            loaded: the model that the router was trained for.
            context_ids: the prompt's T tokens, without padding.
            threshold: a decision with a lower probability falls back to running the layer once; 0 trusts every one.
        """
        ...


def begin_steering(router: Router, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float) -> Steering:
    """The steering of any router; one that only knows `route` chooses at once."""
    if isinstance(router, SteeringRouter):
        return router.steer(loaded, context_ids, threshold=threshold)
    return keep_choice(router.route(loaded, context_ids, threshold=threshold))


def route_by_steering(loaded: LoadedModel, context_ids: Sequence[int], steering: Steering) -> RoutedPath:
    """The choice alone, after a pass over the prompt whose layers are counted as its cost."""
    with torch.inference_mode():
        walk = LayerwisePass(loaded.model, torch.tensor([list(context_ids)], device=loaded.model.device))
        try:
            layers = next(steering)
            while True:
                for layer in layers:
                    walk.step(layer)
                layers = steering.send(walk.hidden_BTD[0])
        except StopIteration as end:
            routed = cast(RoutedPath, end.value)
    return replace(routed, num_layer_tokens=routed.num_layer_tokens + walk.num_steps * len(context_ids))
