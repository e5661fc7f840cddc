"""A task of EleutherAI's harness as a task of ours: ``lm-eval:NAME``, or a YAML file.

Prompts are the harness' own, byte for byte; answers are ours (see the guide to tasks): of choices
the best mean log-probability per token wins, and what is generated is compared by the harness'
filters and ``exact_match``.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from search_cluster.errors import TaskError
from search_cluster.task_spec import HARNESS_PREFIX
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import CHOICE_GRADER_VERSION, grade_choice
from search_cluster.tasks.sources.harness.find import find_task_file
from search_cluster.tasks.sources.harness.grading import grade_harness, matches
from search_cluster.tasks.sources.harness.mapped import AnswerRules, answer_rules, kind_of
from search_cluster.tasks.sources.harness.requests import PARTS, read_splits
from search_cluster.tasks.sources.harness.yaml_file import FunctionReference, read_task_file
from search_cluster.tasks.splits import cut_note, cut_parts
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt, require_split
from search_cluster.tasks.twins import warn_of_contradictions

MAPPING_VERSION = "1"
"""Changes whenever the same task file would ask or grade otherwise."""
_NO_PART_OF_IT = frozenset(
    {"dataset_path", "dataset_name", "dataset_kwargs", "group", "metadata", "tag", "task_alias"}
)
"""Keys that say where data is or who lists the task, not how it asks."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessTask:
    """Implements `Task`; `load_harness_task` builds it."""

    name: str
    """`HARNESS_PREFIX` and the harness' name."""
    version: str
    """A digest of all that the task file says of asking and grading."""
    kind: AnswerKind
    """How an answer comes out of the model."""
    description: str
    """One line for ``search-cluster tasks``."""
    rules: AnswerRules | None
    """How a generated answer is decoded and compared; ``None`` where choices are scored."""
    file: Path
    """The task file."""
    config: Mapping[str, Any]
    """What it says, with the number of shown examples and the filter that are used."""
    read: Callable[[], Mapping[str, LoadedExamples]]
    """Reads the questions of all splits, once."""

    @property
    def max_new_tokens(self) -> int:
        """The largest number of greedy tokens in an answer; 0 for choices."""
        return 0 if self.rules is None else self.rules.max_new_tokens

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """A generated answer ends before the first of these."""
        return () if self.rules is None else self.rules.stop_strings

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        """All examples of a split, in the order of the data.

        ``data_dir`` is not looked at: the task file says where its data is.

        Raises:
            TaskError: there is no such split, or not one good row.
            UnreadableDataError: the data can't be loaded.
        """
        require_split(split, self.name)
        loaded = self.read()[split]
        if not loaded.examples:
            first = next(iter(loaded.malformed), None)
            reason = (
                "its part has no rows left"
                if first is None
                else f"the first of {len(loaded.malformed)} bad rows, {first.source}: "
                f"{first.reason}"
            )
            raise TaskError(f"split {split!r} of task {self.name} is empty: {reason}")
        warn_of_contradictions(loaded.examples, self.name)
        return loaded

    def prompt(self, example: Example) -> Prompt:
        """What stands before the answer; white space at its end belongs to what follows.

        A generated answer follows the harness' context as it is.
        """
        if self.kind is AnswerKind.GENERATE:
            return Prompt(chat=example.question, plain=example.question)
        plain = example.question.rstrip()
        return Prompt(
            chat=plain,
            plain=plain,
            delimiter=example.question[len(plain) :],
            choices=example.choices,
        )

    def grade(self, example: Example, output: str) -> float:
        """1 if the answer is right, else 0."""
        if self.rules is None:
            return grade_choice(example, output)
        return grade_harness(self.rules, example, output)

    def accepts_gold(self, example: Example) -> bool:
        """Whether the right answer counts as right, in the words of the filters or without."""
        if self.rules is None:
            return grade_choice(example, example.gold) == 1.0
        return matches(self.rules, example, example.gold) or self.grade(example, example.gold) > 0


def load_harness_task(
    name: str,
    *,
    include_path: Path | None = None,
    num_fewshot: int | None = None,
    filter_name: str = "",
) -> HarnessTask:
    """The harness' task of that name, or the one that a YAML file describes.

    Args:
        name: a name; or the path of a ``.yaml`` file.
        include_path: a folder of task files beside the harness' own.
        num_fewshot: how many examples are shown before a question; ``None``: as the file says. As
            in the harness, a 0 of the file stays.
        filter_name: which of the task's filters finds the answer; empty: the first that can.

    Raises:
        TaskError: there is no such task, or what it asks for can't be searched.
    """
    file = find_task_file(name, include_path)
    config = read_task_file(file)
    own = config.get("task")
    if not isinstance(own, str):
        raise TaskError(f"{file} describes no single task; its key 'task' has to be a name")
    shots = config.get("num_fewshot")
    if num_fewshot is not None and shots != 0:
        shots = num_fewshot
    config = {**config, "num_fewshot": shots or 0}
    kind = kind_of(own, config)
    rules = None
    if kind is AnswerKind.GENERATE:
        rules = answer_rules(own, config, filter_name)
        if rules.filter_name:
            pipelines = config["filter_list"]
            kept = [item for item in pipelines if item["name"] == rules.filter_name]
            config = {**config, "filter_list": kept}
    parts = [part for part in PARTS if config.get(f"{part}_split")]
    if not parts:
        raise TaskError(f"the harness' task {own} names no split; its file needs test_split")
    return HarnessTask(
        name=f"{HARNESS_PREFIX}{own}",
        version=_version(config),
        kind=kind,
        description=_described(own, config, rules),
        rules=rules,
        file=file,
        config=config,
        read=_reader(file, own, kind, config["num_fewshot"], tuple(parts)),
    )


def _reader(
    file: Path, name: str, kind: AnswerKind, num_fewshot: int, parts: tuple[str, ...]
) -> Callable[[], Mapping[str, LoadedExamples]]:
    @cache
    def read() -> Mapping[str, LoadedExamples]:
        cut = cut_parts(parts)
        if note := cut_note(cut):
            _logger.warning("task %s%s: %s", HARNESS_PREFIX, name, note)
        return read_splits(
            file,
            name,
            task_name=f"{HARNESS_PREFIX}{name}",
            kind=kind,
            num_fewshot=num_fewshot,
            cut=cut,
        )

    return read


def _described(name: str, config: Mapping[str, Any], rules: AnswerRules | None) -> str:
    shots = config["num_fewshot"]
    shown = f", {shots} examples shown" if shots else ""
    found = f", answers found by {rules.filter_name}" if rules and rules.filter_name else ""
    data = "/".join(str(config[key]) for key in ("dataset_path", "dataset_name") if config.get(key))
    return f"{name} of EleutherAI's harness ({data or 'data of its own'}{shown}{found})"


def _version(config: Mapping[str, Any]) -> str:
    content = {key: value for key, value in config.items() if key not in _NO_PART_OF_IT}
    text = json.dumps(
        [MAPPING_VERSION, CHOICE_GRADER_VERSION, content],
        default=_content,
        ensure_ascii=False,
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(value: object) -> object:
    return value.content() if isinstance(value, FunctionReference) else str(value)
