"""What a scan is about: tasks, their questions, the paths that it begins with, and its plan."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.paths.cost import PathCosts
from search_cluster.scan.constants import RACE
from search_cluster.scan.questions import TaskQuestions, taking_turns, task_questions
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.plan import ScanPlan, plan_scan
from search_cluster.scan.settings import Family, ScanSettings
from search_cluster.scan.space import Candidate, first_candidates
from search_cluster.scan.specs.reading import read_paths
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.tasks.task import MalformedRow, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTasks:
    """The tasks of a scan with all their questions."""

    searched: tuple[Task, ...]
    """Those that are searched, at least one."""
    guards: tuple[Task, ...]
    """Those on which losses are reported."""
    questions: dict[str, TaskQuestions]
    """By the task's name."""
    fact_of: dict[str, int]
    """The fact that a question asks for, by its id (`search_cluster.tasks.facts`), told among the
    questions of the tasks that are searched, and among those of each guard."""

    @classmethod
    def of(cls, config: SearchConfig, tasks: Sequence[str], guards: Sequence[str]) -> "ScanTasks":
        """Load tasks by name or file.

        Raises:
            ConfigError: a task is named twice.
            TaskError: a task is unknown, or has too few questions.
        """
        searched, guarding = tuple(map(get_task, tasks)), tuple(map(get_task, guards))
        names = [task.name for task in (*searched, *guarding)]
        _require_different(names, [*tasks, *guards])
        data_dir = resolve_data_dir(config.data_dir)
        questions = {
            task.name: task_questions(task, data_dir, config.seed, is_guard=task in guarding)
            for task in (*searched, *guarding)
        }
        for name, of_task in questions.items():
            asks_as = of_task.everything[0].task
            if len(names) > 1 and asks_as != name:
                raise ConfigError(
                    f"task {name} gives questions of task {asks_as}, so that workers of several "
                    "tasks can't tell them apart; scan it alone, or let its questions bear its name"
                )
        # What a guard asks must not change what is said of the tasks that are searched.
        pools = [
            [item for task in searched for item in questions[task.name].everything],
            *(questions[task.name].everything for task in guarding),
        ]
        fact_of: dict[str, int] = {}
        for pool in pools:
            first = 1 + max(fact_of.values(), default=-1)
            fact_of |= {name: first + fact for name, fact in facts_of(pool).items()}
        return cls(searched=searched, guards=guarding, questions=questions, fact_of=fact_of)

    @property
    def malformed(self) -> tuple[MalformedRow, ...]:
        """The rows that are no questions."""
        of_tasks = (item.malformed for item in self.questions.values())
        return tuple(row for of_task in of_tasks for row in of_task)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks that are searched."""
        return tuple(task.name for task in self.searched)

    def facts(self, questions: Iterable[Example]) -> list[int]:
        """The facts that questions of these tasks ask for."""
        return [self.fact_of[item.example_id] for item in questions]

    @property
    def everybody(self) -> tuple[Task, ...]:
        """All tasks, the guards last."""
        return (*self.searched, *self.guards)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanJob:
    """What a scan asks of a model whose depth is known."""

    config: SearchConfig
    settings: ScanSettings
    tasks: ScanTasks
    candidates: tuple[Candidate, ...]
    plan: ScanPlan
    num_layers: int
    costs: PathCosts
    prior: LayerPrior | None

    @property
    def train(self) -> list[Example]:
        """The questions of the search, those of several tasks taking turns."""
        return taking_turns((item.train for item in self._searched), self.plan.num_train)

    @property
    def validation(self) -> list[Example]:
        """The questions that confirm."""
        return taking_turns((item.validation for item in self._searched), self.plan.num_validation)

    @property
    def test(self) -> list[Example]:
        """The questions that report."""
        return taking_turns((item.test for item in self._searched), self.plan.num_test)

    @property
    def guarding(self) -> dict[str, list[Example]]:
        """The questions of each guard: its test."""
        return {
            task.name: list(self.tasks.questions[task.name].test[: self.plan.num_test])
            for task in self.tasks.guards
        }

    @property
    def everything(self) -> list[Example]:
        """All questions that may be asked."""
        guarded = (question for questions in self.guarding.values() for question in questions)
        return [*self.train, *self.validation, *self.test, *guarded]

    @property
    def num_later(self) -> int:
        """Verdicts after the search, at most."""
        num_guarded = sum(map(len, self.guarding.values()))
        num_confirming = (RACE.max_finalists + 1) * len(self.validation)
        return num_confirming + (RACE.max_reported + 1) * (len(self.test) + num_guarded)

    @property
    def _searched(self) -> list[TaskQuestions]:
        return [self.tasks.questions[name] for name in self.tasks.names]


def _require_different(names: Sequence[str], specs: Sequence[str]) -> None:
    """Pass if no two tasks have one name; ``specs`` say how each was named."""
    specs_of: dict[str, list[str]] = {}
    for name, spec in zip(names, specs, strict=True):
        specs_of.setdefault(name, []).append(spec)
    for name, same in specs_of.items():
        if len(set(map(absolute_spec, same))) > 1:
            raise ConfigError(
                f"tasks {' and '.join(same)} have one name, {name}, and a scan tells tasks apart "
                "by their names; give each another one: that of its file, or the one written in it"
            )
        if len(same) > 1:
            raise ConfigError(f"task {name} is named twice; name each task and guard once")


def scan_job(
    config: SearchConfig,
    settings: ScanSettings,
    tasks: ScanTasks,
    *,
    num_layers: int,
    costs: PathCosts,
    prior: LayerPrior | None,
    paths: Path | None,
) -> ScanJob:
    """Plan a scan of a model of so many layers.

    Args:
        config: with the limit.
        settings: what to look for.
        tasks: with their questions.
        num_layers: the model's depth.
        costs: what its paths cost.
        prior: what is known of its layers beforehand; ``None``: nothing.
        paths: a file with paths to try, too.

    Raises:
        ConfigError: there is nothing to try, or the budget is too small.
        InvalidPathError: a path of the file is none of this model.
    """
    is_listed = Family.LIST in settings.families
    if is_listed and paths is None:
        raise ConfigError("families has list, and no list is given; name a file with --paths")
    listed = () if paths is None else read_paths(paths, num_layers)
    candidates = first_candidates(
        num_layers,
        settings.families,
        max_block=settings.max_block or num_layers,
        passes=settings.passes,
        listed=listed,
        costs=costs,
    )
    if not candidates:
        raise ConfigError("no path is left to try; name --families, or a --paths file with paths")
    searched = [tasks.questions[name] for name in tasks.names]
    plan = plan_scan(
        settings,
        limit=config.limit,
        num_layers=num_layers,
        num_paths=len(candidates),
        num_tasks=len(searched),
        num_guards=len(tasks.guards),
        available=(
            min(len(item.train) for item in searched),
            min(len(item.validation) for item in searched),
            min(len(item.test) for item in searched),
        ),
    )
    return ScanJob(
        config=config,
        settings=settings,
        tasks=tasks,
        candidates=candidates,
        plan=plan,
        num_layers=num_layers,
        costs=costs,
        prior=prior,
    )


def no_growth(job: ScanJob) -> str:
    """Why no paths of several edits are tried, in words."""
    num_train = min(len(job.tasks.questions[name].train) for name in job.tasks.names)
    least = RACE.grown_rungs[0]
    if job.settings.budget is not None and num_train >= 2 * least:
        return (
            f"a budget of {job.settings.budget:,} verdicts pays for single edits alone: paths of "
            "several edits are not tried"
        )
    return (
        f"{num_train} questions of train are too few for growth, which takes {least} beside as "
        "many for the race: paths of several edits are not tried"
    )
