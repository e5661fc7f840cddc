"""A whole scan over a table: the product's race, confirmation and report, without a model. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.bench.scan.stored_answers import Rows, StoredAnswers
from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Rounds
from search_cluster.scan.racing.choice import Confirmed, confirm, is_guessing_on, is_sure
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.plan import plan_scan
from search_cluster.scan.racing.race import ScanSearch
from search_cluster.scan.racing.ranking import NEUTRAL, estimate, ranked
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.usual import usual_gain
from search_cluster.scan.result import Standing
from search_cluster.scan.settings import Aim, ScanSettings
from search_cluster.scan.standings import standings


def single_edits(aim: str) -> ScanSettings:
    """What a table can replay: it has no path of two edits.

    Raises:
        ConfigError: there is no such aim.
    """
    return ScanSettings(grow=1, aim=aim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Which questions of a table play which part."""

    train: Rows
    validation: Rows
    test: Rows
    fresh: Rows
    """Those that say what a path truly gains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedScan:
    """What a scan found on the questions of a draw."""

    searched: Searched
    confirmed: Confirmed
    on_train: dict[LayerPath, Standing]
    """How the finalists stand among all paths that ran."""
    on_validation: dict[LayerPath, Standing]
    """How they stand among each other."""
    on_test: dict[LayerPath, Standing]
    """How the reported ones do."""
    sure: tuple[LayerPath, ...]
    """Those of them that are called better, in validation's order."""


def draw_apart(table: ScoreTable, config: ScanReplayConfig, rng: np.random.Generator) -> Draw:
    """Parts that share no question, and behind train no fact; what is left is fresh.

    Where some questions were asked of all paths and others of the best ones alone, train begins
    with the former, so that only paths that are near the end of a race meet the latter. The facts
    of train are asked for in the other parts, too: a table has too few questions for less. What
    test says is compared with fresh questions of other facts.

    Raises:
        ConfigError: the table has too few questions, or too few facts.
    """
    num_questions = len(table.questions)
    sizes = (config.num_train, config.num_validation, config.num_test)
    if sum(sizes) >= num_questions:
        raise ConfigError(
            f"the table has {num_questions} questions; train, validation and test take "
            f"{sum(sizes)} and others must be left: give smaller numbers, or add questions with "
            "`search-cluster bench scan table --num-questions`"
        )
    full = rng.permutation(table.full_questions)[: config.num_train]
    others = rng.permutation(np.setdiff1d(np.arange(num_questions), full))
    more, others = np.split(others, [config.num_train - len(full)])
    train = np.concatenate([full, more])
    validation, test, fresh = _by_fact(table, others, sizes[1:])
    if not len(fresh):
        raise ConfigError(
            f"the table's questions ask for too few facts: {num_questions} questions have none "
            f"left beside train, validation and test of {', '.join(map(str, sizes))}: give smaller "
            "numbers, or add questions with `search-cluster bench scan table --num-questions`"
        )
    return Draw(train=train, validation=validation, test=test, fresh=fresh)


def _by_fact(table: ScoreTable, rows: Rows, sizes: Sequence[int]) -> list[Rows]:
    """Parts of so many rows, and what is left; a fact that would be in two is in the first alone.

    Args:
        table: says what each row asks for.
        rows: in a random order, which facts keep.
        sizes: of the parts.
    """
    facts = iter(_rows_of_facts(table, rows))
    parts = []
    for size in sizes:
        part: list[int] = []
        while len(part) < size and (of_next := next(facts, None)):
            part += of_next[: size - len(part)]
        parts.append(part)
    parts.append([row for of_one in facts for row in of_one])
    return [np.array(part, dtype=np.int64) for part in parts]


def _rows_of_facts(table: ScoreTable, rows: Rows) -> list[list[int]]:
    """Rows by the fact that they ask for, in the order in which facts come."""
    of_fact: dict[int | str, list[int]] = {}
    for row in rows.tolist():
        of_fact.setdefault(table.questions[row].asks_for, []).append(row)
    return list(of_fact.values())


def draw_again(table: ScoreTable, config: ScanReplayConfig, rng: np.random.Generator) -> Draw:
    """Parts of facts that are drawn with replacement, as if the table had all that there are.

    So it is known exactly what every path truly gains.
    """
    fresh = np.arange(len(table.questions))
    facts = _rows_of_facts(table, fresh)

    def part(size: int) -> Rows:
        drawn = rng.integers(0, len(facts), size=size)
        rows = np.array([row for fact in drawn for row in facts[fact]][:size], dtype=np.int64)
        # Questions of one fact must not follow each other: a race begins with the first ones.
        return rows if len(facts) == len(table.questions) else rng.permutation(rows)

    train, validation, test = map(part, (config.num_train, config.num_validation, config.num_test))
    return Draw(train=train, validation=validation, test=test, fresh=fresh)


def race_draw(table: ScoreTable, config: ScanReplayConfig, number: int) -> Draw:
    """The questions of one of the races that are compared."""
    return draw_apart(table, config, rng_of(config, "race", number))


def rng_of(config: ScanReplayConfig, name: str, number: int) -> np.random.Generator:
    """A source of draws of its own, whatever else is replayed."""
    return np.random.default_rng([config.seed, *name.encode(), number])


def replay_search(
    answers: StoredAnswers,
    draw: Draw,
    prior: LayerPrior | None = None,
    aim: str = Aim.ACCURACY.value,
) -> Searched:
    """The search of a scan over a table.

    Args:
        answers: of the table.
        draw: which questions play which part.
        prior: what is known of layers beforehand; ``None``: nothing.
        aim: what makes a path better.
    """
    settings = single_edits(aim)
    plan = plan_scan(
        settings,
        limit=None,
        num_layers=answers.identity.num_layers,
        num_paths=len(answers.candidates),
        num_tasks=1,
        num_guards=0,
        available=(len(draw.train), len(draw.validation), len(draw.test)),
    )
    search = ScanSearch(
        [answers.examples[row] for row in draw.train],
        answers.facts_of(draw.train),
        answers.candidates,
        num_layers=answers.identity.num_layers,
        num_tasks=1,
        plan=plan,
        aim=settings.aim,
        max_edits=settings.grow,
        prior=prior,
    )
    drive(search, answers)
    return search.result()


def drive(rounds: Rounds[object], answers: StoredAnswers) -> None:
    """Answer whatever is asked, until nothing is."""
    while trials := rounds.next_round():
        rounds.observe([answers.outcome(*trial) for trial in trials])


def replay_scan(answers: StoredAnswers, draw: Draw, aim: str) -> ReplayedScan:
    """A whole scan over a table."""
    searched = replay_search(answers, draw, aim=aim)
    finalists = [item.path for item in searched.finalists]
    validation = answers.answer_table(draw.validation, finalists)
    confirmed = confirm(searched, validation, aim, num_test=len(draw.test))
    reported = [item.path for item in confirmed.reported]
    test = answers.answer_table(draw.test, reported)
    ran = [path for path in searched.tables[0].by_path if path != answers.identity]
    on_train = dict(zip(ran, standings(searched.tables, ran), strict=True))
    on_test = dict(zip(reported, standings([test], reported), strict=True))
    plain_is_guessing = is_guessing_on(test)
    return ReplayedScan(
        searched=searched,
        confirmed=confirmed,
        on_train={path: on_train[path] for path in finalists},
        on_validation=dict(zip(finalists, standings([validation], finalists), strict=True)),
        on_test=on_test,
        sure=tuple(
            item.path
            for item in confirmed.reported
            if is_sure(
                item,
                on_test[item.path],
                {},
                aim,
                plain_is_guessing=plain_is_guessing,
            )
        ),
    )


def exhaustive_choice(answers: StoredAnswers, draw: Draw) -> LayerPath:
    """What the race would choose if all paths ran on all its questions.

    Paths that the table does not have on all of them are no choice.
    """
    asked = [item for item in answers.candidates if answers.was_asked(item.path, draw.train)]
    table = answers.answer_table(draw.train, [item.path for item in asked])
    seen = [estimate(item, [table]) for item in asked]
    usual = usual_gain((item.mean_change, item.seen) for item in seen)
    estimates = [estimate(item, [table], usual) for item in asked]
    return ranked(estimates, Aim.ACCURACY, NEUTRAL)[0].path


def most_accurate(answers: StoredAnswers, rows: Rows) -> LayerPath:
    """The path that is right most often on some questions, the first of equals: the usual way."""
    gains_P = np.nan_to_num(answers.differences_QP[rows].mean(axis=0), nan=-1.0)
    return answers.candidates[int(gains_P.argmax())].path
