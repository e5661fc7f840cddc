"""A model with its bridges: another model than the one without, for whoever asks."""

from search_cluster.errors import ModelError
from search_cluster.model.bridge.bridges import ATTRIBUTE, Bridges, bridges_of
from search_cluster.model.devices.layer_devices import devices_of
from search_cluster.model.fitted import with_fitted
from search_cluster.model.loaded import LoadedModel


def with_bridges(loaded: LoadedModel, bridges: Bridges) -> LoadedModel:
    """The model with bridges, as `with_fitted` makes it.

    Raises:
        ModelError: it has bridges already, or the bridges are of another width or depth.
    """
    model = loaded.model
    width = int(model.config.hidden_size)
    deepest = max(jump.after for jump in bridges.jumps)
    if bridges_of(model) is not None:
        raise ModelError(f"model {loaded.spec!r} has bridges already; load it without them first")
    if bridges.width != width or deepest > loaded.num_layers:
        raise ModelError(
            f"bridges of width {bridges.width} that reach layer {deepest} do not fit model "
            f"{loaded.spec!r} (width {width}, {loaded.num_layers} layers); fit bridges for it with "
            "search-cluster bridge fit"
        )
    placed = bridges.placed(devices_of(model).of_jump)
    return with_fitted(loaded, ATTRIBUTE, placed, bridges.digest)
