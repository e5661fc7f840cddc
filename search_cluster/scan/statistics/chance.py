"""What the best of many paths gains by chance."""

from collections.abc import Hashable, Sequence

from search_cluster.scan.statistics.design import Floats
from search_cluster.scan.statistics.differences import differences_of
from search_cluster.scan.statistics.resampling import NUM_RESAMPLES, largest_sums, random_signs


def best_by_chance(
    table_NP: Floats,
    facts: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> float:
    """What the best of so many paths would gain on these questions if none were better or worse.

    Each path changes as many answers as it did, and each change is as likely to be one for the
    better: the signs of a fact's differences are drawn anew, those of all paths and of all its
    questions together, so that paths that are right on the same questions stay so. It is the mean
    of the best path's gain. Paths that ran on few questions have the largest gains by chance, so
    give paths that ran on equally many.

    Args:
        table_NP: right(path) - right(plain): 1, 0 or -1, and NaN where a path has not run.
        facts: the fact that each question asks for; ``None``: each another one.
        seed: of the signs.
        num_resamples: how often they are drawn.

    Returns:
        A difference of accuracies; 0 if nothing was compared.

    Raises:
        InvalidValueError: the table is none, or holds another value, or there are more or fewer
            facts than questions.
    """
    answers = differences_of(table_NP, facts)
    has_run_P = answers.num_questions_P > 0
    if not has_run_P.any():
        return 0.0
    shares_NP = answers.values_NP[:, has_run_P] / answers.num_questions_P[has_run_P]
    largest_B = largest_sums(
        answers.facts.sums(shares_NP),
        random_signs,
        seed=seed,
        num_resamples=num_resamples,
        signed=True,
    )
    return float(largest_B.mean())
