"""Settings whose folders lie on the hub."""

from search_cluster.config import SearchConfig
from search_cluster.hub.folders import local_folder, pinned_folder
from search_cluster.hub_spec import FolderKind


def with_hub_folders(config: SearchConfig) -> SearchConfig:
    """The settings with local copies of what is read once, and bridges named with their commit.

    Bridges are part of the model's name, by which every worker loads them.

    Raises:
        ConfigError: a name is none.
        HubError: what is named is not on the hub, or holds something else.
    """
    return config.overridden(
        {
            "bridges": pinned_folder(config.bridges, FolderKind.BRIDGES),
            "study": None if config.study is None else local_folder(config.study, FolderKind.SCAN),
            "depth_prior": None
            if config.depth_prior is None
            else local_folder(config.depth_prior, FolderKind.STUDY),
        }
    )
