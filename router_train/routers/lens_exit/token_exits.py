"""Where each generated token stops: by what a lens reads of it at some depths.

Shapes: D width, V vocabulary.
"""

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from router_train.routers.lens_exit.classifier import ExitClassifier
from router_train.routers.lens_exit.evidence import NEVER
from router_train.routers.lens_exit.reader import ExitReader
from search_cluster.model.bridge.bridges import share_of_layer
from search_cluster.model.lens.lens import Lens
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.token_exits import TokenExit
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensTokenExits:
    """Reads a token at one depth after the other, and lets it stop where the classifier is sure."""

    loaded: LoadedModel
    path: LayerPath
    depths: tuple[int, ...]
    lens: Lens
    """One translator for each of the depths."""
    classifier: ExitClassifier
    threshold: float
    """How sure the classifier must be, unless its own threshold is higher."""

    def begin(self) -> Generator[int, Tensor, TokenExit]:
        """Yield the depths that are read, and stop when sure.

        It is sent the token's state ``[1, D]`` there. The read at which a token stops gives its
        logits, which the model would compute at its end otherwise; so its translator counts, and
        of the reads before it, which were in vain, all does.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        reader = ExitReader(self.loaded, self.lens, self.classifier)
        needed = max(self.threshold, self.classifier.threshold)
        for place in self.classifier.places if needed < NEVER else ():
            hidden_1D = yield self.depths[place]
            probability, logits_1V = reader.read(hidden_1D, place)
            if probability >= needed:
                in_vain = reader.cost * (reader.num_reads - 1)
                return TokenExit(
                    depth=self.depths[place],
                    logits_1V=logits_1V,
                    confidence=probability,
                    num_read_layers=in_vain + share_of_layer(self.loaded.model),
                )
        return TokenExit(
            depth=len(self.path),
            confidence=reader.surest,
            num_read_layers=reader.cost * reader.num_reads,
        )
