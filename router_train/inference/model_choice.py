"""What a command line says of the model: which one it is, and how it is loaded.

Command lines make their options from `ModelChoice`, so torch is imported only to load a model.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from search_cluster.bridged_spec import spec_again
from search_cluster.hub.folders import pinned_folder
from search_cluster.hub_spec import FolderKind

if TYPE_CHECKING:
    from search_cluster.model.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """How the command line names the model."""

    spec: str | None = field(default=None, metadata={"flag": "--model"})
    """``demo``, a hub id, a folder or a ``.gguf`` file; ``None``: the model of the search."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    dtype: str | None = None
    """The dtype, which is part of the model's fingerprint; ``None``: the dtype of the search."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    bridges: Path | None = field(default=None, metadata={"hub": FolderKind.BRIDGES})
    """Folder of `search-cluster bridge fit`, or hub:NAME; ``None``: the bridges of the search."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""

    @property
    def is_named(self) -> bool:
        """Whether the user says which model it is, and not only where it runs."""
        return any(
            value is not None for value in (self.spec, self.dtype, self.revision, self.bridges)
        )

    def load(self, spec: str, dtype: str, chat: str) -> "LoadedModel":
        """The chosen model, asked as in the search.

        Args:
            spec: the model of the search, where none was chosen.
            dtype: its dtype, where none was chosen.
            chat: when it was asked in its chat template (`search_cluster.config.CHAT_MODES`); empty
                for ``auto``.
        """
        from search_cluster.model.load.loading import load_model  # torch and transformers: seconds

        return load_model(
            spec_again(spec, self.spec, pinned_folder(self.bridges, FolderKind.BRIDGES)),
            dtype=self.dtype or dtype,
            device=self.device,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            chat=chat or "auto",
        )
