"""A model with its bridges: another model than the one without, for whoever asks."""

from dataclasses import replace

from search_cluster.errors import ModelError
from search_cluster.model.bridge.bridges import ATTRIBUTE, Bridges, bridges_of
from search_cluster.model.load.fingerprint import PART_HEX_DIGITS, fingerprint_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import shallow_copy

BRIDGES_PART = "bridges"
"""The part of a model's fingerprint that stands for its bridges."""


def with_bridges(loaded: LoadedModel, bridges: Bridges) -> LoadedModel:
    """The model with bridges; shares all weights, and leaves ``loaded`` as it is.

    It has a fingerprint of its own, which no former version knew, so that caches, corpora, routers
    and exports never take verdicts of the one for the other's.

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
    view = shallow_copy(model)
    view.model = shallow_copy(model.model)
    setattr(view.model, ATTRIBUTE, bridges.to(model.device))
    parts = {**loaded.parts, BRIDGES_PART: bridges.digest[:PART_HEX_DIGITS]}
    return replace(
        loaded,
        model=view,
        # A loaded model may not know its parts, so its own fingerprint counts as one, too.
        fingerprint=fingerprint_of({**parts, "model": loaded.fingerprint}),
        former_fingerprints=(),
        parts=parts,
    )
