"""A model with a shortcut: another model than the one without, for whoever asks."""

from search_cluster.errors import ModelError
from search_cluster.model.fitted import with_fitted
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.shortcut.shortcut import ATTRIBUTE, Shortcut, shortcut_of


def with_shortcut(loaded: LoadedModel, shortcut: Shortcut) -> LoadedModel:
    """The model with a shortcut, as `with_fitted` makes it; its plain path reads through it, too.

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
    own = Shortcut(shortcut.sources, shortcut.num_heads, shortcut.tensors())
    return with_fitted(loaded, ATTRIBUTE, own.to(model.device), shortcut.digest)
