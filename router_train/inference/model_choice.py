"""What a command line says of the model: which one it is, and how it is loaded."""

from dataclasses import dataclass

from search_cluster.model.load.loading import LoadedModel, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """How a command line names the model."""

    spec: str | None
    """A spec of the model; ``None`` takes the one that the corpus or the checkpoint names."""
    device: str
    dtype: str | None
    trust_remote_code: bool
    revision: str | None = None
    """The branch, tag or commit of a hub id."""

    def load(self, spec: str, dtype: str) -> LoadedModel:
        """The chosen model; ``spec`` and ``dtype`` stand in where nothing was chosen."""
        return load_model(
            self.spec or spec,
            dtype=self.dtype or dtype,
            device=self.device,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )
