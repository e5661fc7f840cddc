"""What ``generate()`` of transformers carries from token to token: a lazy pass for each row.

Rows run one by one, each without padding, so that an answer does not depend on its company.
"""

from torch import Tensor
from transformers import Cache

from search_cluster.model.online.lazy_pass import LazyPass
from search_cluster.model.online.token_exits import TokenExit


class LazyCache(Cache):
    """The passes of a batch, and where their tokens stopped.

    Attributes:
        passes: of each row; empty until the prompt has come.
        exits: for each row where its prompt's last token stopped, and then each generated one.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.passes: list[LazyPass] = []
        self.exits: list[tuple[TokenExit, ...]] = []
        self.num_columns = 0
        """The tokens of a row so far, padding included."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The number of columns: every layer holds fewer tokens, or as many."""
        return self.num_columns

    def without_keys(self) -> "LazyCache":
        """An empty cache: rows are read again from their first token."""
        return LazyCache()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row ``i`` goes on from what row ``beam_idx[i]`` has."""
        sources = beam_idx.tolist()
        self.passes = [self.passes[source].fork() for source in sources]
        self.exits = [self.exits[source] for source in sources]
