"""Published ways to find a block that is worth repeating, on questions of a table. Pure.

They try all blocks on 16 to 32 questions and publish the best one's gain on these very questions.
Here the other questions of the table say what is left of it. Gains are in percentage points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.stored_answers import Rows, StoredAnswers
from search_cluster.errors import ConfigError
from search_cluster.scan.edits import EditKind
from search_cluster.scan.space import Candidate
from search_cluster.scan.statistics.chance import best_by_chance
from search_cluster.scan.statistics.simultaneous import simultaneous

LEAST_QUESTIONS = 48
"""Questions of a table over which protocols are replayed: those that they ask, and some others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedProtocol:
    """A published way to look for a block."""

    name: str
    """Who published it, and what it asks."""
    num_questions: tuple[int, ...]
    """Questions of each table; a table too few stands in for the others."""
    smallest: int
    """Layers of the smallest block that is tried."""
    largest: int | None
    """Those of the largest; ``None``: any."""
    skips: bool = False
    """Whether skipped blocks are tried, too."""

    def tries(self, candidate: Candidate) -> bool:
        """Whether it tries the path."""
        if len(candidate.edits) != 1:
            return False
        edit = candidate.edits[0]
        size = edit.end - edit.first
        is_kind = self.skips or edit.kind is EditKind.REPEAT
        return is_kind and self.smallest <= size <= (self.largest or size)


PROTOCOLS = (
    PublishedProtocol(
        name="RYS: every repeated block, 16 + 16 questions",
        num_questions=(16, 16),
        smallest=1,
        largest=None,
    ),
    PublishedProtocol(
        name="llm-circuit-finder: repeated blocks of 3 to 8 layers, 17 questions",
        num_questions=(17,),
        smallest=3,
        largest=8,
    ),
    PublishedProtocol(
        name="every skipped or repeated block, 16 questions",
        num_questions=(16,),
        smallest=1,
        largest=None,
        skips=True,
    ),
)


def published_figures(
    tables: Sequence[StoredAnswers], config: ScanReplayConfig
) -> list[dict[str, Any]]:
    """What each protocol finds, and what other questions leave of it.

    Args:
        tables: of one or two tasks, with the same paths.
        config: how often each is run.

    Raises:
        ConfigError: a table has hardly more questions than a protocol asks.
    """
    if not config.published:
        return []
    fewest = min(len(answers.table.full_questions) for answers in tables)
    if fewest < LEAST_QUESTIONS:
        raise ConfigError(
            f"a table in which all paths were asked {fewest} questions; published protocols need "
            f"{LEAST_QUESTIONS}, to say what others leave of their gain: give --published 0"
        )
    return [_figures(protocol, tables, config) for protocol in PROTOCOLS]


def _figures(
    protocol: PublishedProtocol, tables: Sequence[StoredAnswers], config: ScanReplayConfig
) -> dict[str, Any]:
    tried = [place for place, item in enumerate(tables[0].candidates) if protocol.tries(item)]
    if not tried:
        return {"protocol": protocol.name, "blocks": 0}
    sizes = [0] * len(tables)
    for number, size in enumerate(protocol.num_questions):
        sizes[number % len(tables)] += size
    seen, left = [], []
    example: dict[str, Any] = {}
    for number in range(config.published):
        rng = np.random.default_rng([config.seed, *protocol.name.encode(), number])
        parts = [
            (answers.differences_QP[:, tried], _order(answers, rng), size)
            for answers, size in zip(tables, sizes, strict=True)
        ]
        asked = np.concatenate([table_QP[order[:size]] for table_QP, order, size in parts])
        other = np.concatenate([table_QP[order[size:]] for table_QP, order, size in parts if size])
        best = int(asked.mean(axis=0).argmax())
        seen.append(100 * asked.mean(axis=0)[best])
        was_asked = ~np.isnan(other[:, best])
        of_best = other[was_asked][:, [best]]
        left.append(100 * of_best.mean())
        if not example:
            facts = [
                ([(place, fact) for fact in answers.facts_of(order)], size)
                for place, (answers, (_, order, size)) in enumerate(zip(tables, parts, strict=True))
            ]
            of_asked = [fact for of_table, size in facts for fact in of_table[:size]]
            of_other = [fact for of_table, size in facts if size for fact in of_table[size:]]
            found = simultaneous(
                of_best, list(compress(of_other, was_asked.tolist())), seed=config.seed
            )
            example = {
                "block": str(tables[0].candidates[tried[best]].edits[0]),
                "seen": float(seen[-1]),
                "left": float(left[-1]),
                "left_low": 100 * float(found.low[0]),
                "left_high": 100 * float(found.high[0]),
                "best_by_chance": 100 * best_by_chance(asked, of_asked, seed=config.seed),
                "other_questions": len(of_best),
            }
    return {
        "protocol": protocol.name,
        "blocks": len(tried),
        "questions": sum(sizes),
        "times": config.published,
        "best_seen": float(np.mean(seen)),
        "left_of_it": float(np.mean(left)),
        "of_them_worse_than_plain": float(np.mean(np.array(left) < 0)),
        "first": example,
    }


def _order(answers: StoredAnswers, rng: np.random.Generator) -> Rows:
    """All questions in a random order, first those that all paths were asked."""
    full = rng.permutation(answers.table.full_questions)
    rest = np.setdiff1d(np.arange(len(answers.examples)), full)
    return np.concatenate([full, rest])
