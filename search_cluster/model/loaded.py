"""A frozen model with its tokenizer, and what identifies them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from search_cluster.bridged_spec import split_spec
from search_cluster.identity import ModelIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A frozen causal LM in eval mode, its tokenizer, and what identifies them.

    Share it, and don't change it.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: str
    """The name that it was asked for by; two names can stand for the same model."""
    fingerprint: str
    """The hash of all that was loaded, 32 hexadecimal digits, equal wherever it was loaded from."""
    num_layers: int
    chat: bool
    """Whether prompts are asked as chat messages, in the tokenizer's chat template."""
    device: str
    dtype: str
    num_devices: int = 1
    """The devices that share its layers, of which ``device`` is the first."""
    former_fingerprints: tuple[str, ...] = ()
    """The fingerprints that former versions gave this model."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """A short hash of each part that the fingerprint covers."""
    warnings: tuple[str, ...] = ()
    """What a user should know of how it was loaded, a line each."""

    @property
    def bare_spec(self) -> str:
        """The name of the model without its bridges."""
        return split_spec(self.spec)[0]

    @property
    def bridges_folder(self) -> Path | None:
        """Where its bridges were loaded from; ``None`` if it has none."""
        return split_spec(self.spec)[1]

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        return ModelIdentity(
            fingerprint=self.fingerprint,
            former_fingerprints=self.former_fingerprints,
            parts=self.parts,
        )
