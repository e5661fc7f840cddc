"""What is known of edits before anybody is asked: how much their layers change states.

*Block influence* (1 - cos of the state before and after a layer; ShortGPT, arXiv 2403.03853) is a
figure of single layers. A block has the sum of its layers, each as often as it is left out or runs
again. The more that is, the more is lost; how much, for skips and for repeats, is learnt from the
answers to a first look. So it is a prior that says nothing where influence says nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from search_cluster.scan.edits import Edit, EditKind
from search_cluster.scan.gain import Prior
from search_cluster.scan.racing.ranking import Estimate
from search_cluster.scan.racing.usual import falling_gain
from search_cluster.scan.space import Candidate

DIGEST_HEX_DIGITS = 32
Expected = Callable[[Candidate], Prior | None]
"""What a single edit is expected to gain, in worth; ``None``: nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrior:
    """The influence of each layer of one model."""

    influence: tuple[float, ...]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits, equal for equal figures."""
        content = json.dumps(self.influence).encode()
        return hashlib.sha256(content).hexdigest()[:DIGEST_HEX_DIGITS]

    def of_edit(self, edit: Edit) -> float:
        """How much an edit changes states, as far as its layers tell."""
        return abs(edit.passes - 1) * sum(self.influence[edit.first : edit.end])

    def learn(self, estimates: Iterable[Estimate]) -> Expected:
        """What single edits gain by their influence, from the answers to a first look.

        Args:
            estimates: of all paths that were asked; those that are no single edits teach nothing.
        """
        by_kind: dict[EditKind, list[Estimate]] = {}
        for item in estimates:
            if item.candidate.is_single:
                by_kind.setdefault(item.candidate.edits[0].kind, []).append(item)
        usual = {
            kind: falling_gain((self.of_edit(it.candidate.edits[0]), it.seen) for it in of_kind)
            for kind, of_kind in by_kind.items()
        }

        def expected(candidate: Candidate) -> Prior | None:
            if not candidate.is_single or candidate.edits[0].kind not in usual:
                return None
            edit = candidate.edits[0]
            return usual[edit.kind](self.of_edit(edit))

        return expected
