"""``--depth-prior DIR``: a finished depth study says which layers change states how much."""

from dataclasses import dataclass, replace
from pathlib import Path

from search_cluster.depth.layers import influence_of
from search_cluster.depth.result import read_depth_result
from search_cluster.errors import ConfigError
from search_cluster.identity import ModelIdentity
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.tree.settings import SearchPreset


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPrior:
    """What a study's folder says of the layers of a model."""

    folder: Path
    model: str
    model_fingerprint: str
    layers: LayerPrior

    @property
    def digest(self) -> str:
        """Of all that a search or a scan takes from the study."""
        return self.layers.digest

    def require_of(self, model: ModelIdentity) -> None:
        """Pass if the study is of this model.

        Raises:
            ConfigError: it is of another one.
        """
        if not model.is_known_as(self.model_fingerprint):
            raise ConfigError(
                f"depth prior {self.folder} is a study of model {self.model} with the fingerprint "
                f"{self.model_fingerprint}, and this model has {model.fingerprint}; study this "
                "model with search-cluster depth, or leave --depth-prior out"
            )


def read_depth_prior(folder: Path | None) -> DepthPrior | None:
    """The finished depth study in a folder; ``None`` for none.

    Raises:
        CorpusError: the folder has no finished study.
    """
    if folder is None:
        return None
    result = read_depth_result(folder)
    return DepthPrior(
        folder=folder,
        model=result.model,
        model_fingerprint=result.model_fingerprint,
        layers=LayerPrior(influence=influence_of(result.layers)),
    )


def with_depth_prior(
    preset: SearchPreset, prior: DepthPrior | None, study: Path | None
) -> SearchPreset:
    """The preset whose study knows what changes states how much.

    Args:
        preset: of a search.
        prior: what is known; ``None``: nothing.
        study: the scan that takes the place of the preset's study, if one does.

    Raises:
        ConfigError: the search makes no study of its own.
    """
    if prior is None:
        return preset
    if study is not None:
        raise ConfigError(
            f"study is {study}, which leaves nothing to look for, and depth_prior is "
            f"{prior.folder}; leave --depth-prior or --study out"
        )
    if preset.study is None:
        raise ConfigError(
            f"depth_prior is {prior.folder}, and preset {preset.name} makes no study that it could "
            "help; use --preset credible, or leave --depth-prior out"
        )
    return replace(preset, study=replace(preset.study, influence=prior.layers.influence))
