"""What a search says of all its candidates, as the result keeps it."""

from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.result import CandidateSummary
from search_cluster.scan.standings import standings


def summaries(searched: Searched) -> tuple[CandidateSummary, ...]:
    """A summary of each candidate that has run, in their order; all of them are compared."""
    ran = [
        item
        for item in searched.candidates
        if any(table.by_path.get(item.path) for table in searched.tables)
    ]
    found = standings(searched.tables, [item.path for item in ran])
    return tuple(
        CandidateSummary(
            path=str(item.path),
            layers=item.layers,
            edits=item.candidate.edits,
            step=item.candidate.step,
            train=standing,
            worth=item.seen.mean,
            shrunk=item.gain.mean,
            is_wreck=item.is_wreck,
        )
        for item, standing in zip(searched.estimates(ran), found, strict=True)
    )
