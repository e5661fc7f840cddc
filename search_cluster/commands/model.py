"""The model that settings name."""

from search_cluster.config import SearchConfig
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel


def load_configured(config: SearchConfig) -> LoadedModel:
    """Load the model that settings name, with its bridges, as they say.

    Raises:
        SearchClusterError: it can't be loaded; the message says what to do.
    """
    return load_model(
        config.model_spec,
        dtype=config.dtype,
        device=config.device,
        revision=config.revision,
        trust_remote_code=config.trust_remote_code,
        chat=config.chat,
    )
