"""What the search of a scan found, before anything is confirmed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.racing.ranking import Estimate, estimate
from search_cluster.scan.racing.shared_luck import SharedLuck
from search_cluster.scan.racing.usual import UsualGains
from search_cluster.scan.result import Rung
from search_cluster.scan.space import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the search found."""

    candidates: tuple[Candidate, ...]
    """All that were tried, by step, then in the order in which they were made."""
    finalists: tuple[Candidate, ...]
    """Those that are worth a second look, the best first."""
    tables: tuple[AnswerTable, ...]
    """The answers of each step."""
    rungs: tuple[Rung, ...]
    """The rounds."""
    num_verdicts: int
    """What was asked for."""
    num_exhaustive: int
    """What all paths on all questions of their step would have taken, and what the best were asked
    beyond that."""
    usual: UsualGains
    """What paths usually gain."""
    stopped_by: str
    """``minutes`` or ``budget`` if that ended the search, else nothing."""

    def estimates(
        self, candidates: Iterable[Candidate], more: Sequence[AnswerTable] = ()
    ) -> list[Estimate]:
        """What the answers of all steps, and those in further tables, say of candidates."""
        tables = [*self.tables, *more]
        luck = SharedLuck(self.tables, self.candidates)
        return [estimate(item, tables, self.usual.of(item), luck) for item in candidates]
