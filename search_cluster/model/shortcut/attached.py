"""A model with a shortcut: another model than the one without, for whoever asks."""

from dataclasses import replace

from search_cluster.errors import ModelError
from search_cluster.model.load.fingerprint import PART_HEX_DIGITS, fingerprint_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import shallow_copy
from search_cluster.model.shortcut.shortcut import ATTRIBUTE, Shortcut, shortcut_of

SHORTCUT_PART = "shortcut"
"""The part of a model's fingerprint that stands for its shortcut."""


def with_shortcut(loaded: LoadedModel, shortcut: Shortcut) -> LoadedModel:
    """The model with a shortcut; shares all weights, and leaves ``loaded`` as it is.

    It has a fingerprint of its own, so that caches, corpora, routers and exports never take
    verdicts of the one for the other's. The plain path reads through the shortcut, too.

    Raises:
        ModelError: it has a shortcut already, or this one is of another width or depth.
    """
    model = loaded.model
    width = int(model.config.hidden_size)
    if shortcut_of(model) is not None:
        raise ModelError(f"model {loaded.spec!r} has a shortcut already; load it without it first")
    if shortcut.width != width or not 0 <= shortcut.sources[-1] < loaded.num_layers:
        raise ModelError(
            f"a shortcut of width {shortcut.width} from layers {shortcut.sources} does not fit "
            f"model {loaded.spec!r} (width {width}, {loaded.num_layers} layers); fit one for it "
            "with router-train fit --router shortcut"
        )
    view = shallow_copy(model)
    view.model = shallow_copy(model.model)
    own = Shortcut(shortcut.sources, shortcut.num_heads, shortcut.tensors())
    setattr(view.model, ATTRIBUTE, own.to(model.device))
    parts = {**loaded.parts, SHORTCUT_PART: shortcut.digest[:PART_HEX_DIGITS]}
    return replace(
        loaded,
        model=view,
        # A loaded model may not know its parts, so its own fingerprint counts as one, too.
        fingerprint=fingerprint_of({**parts, "model": loaded.fingerprint}),
        former_fingerprints=(),
        parts=parts,
    )
