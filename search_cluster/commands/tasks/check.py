"""Whether a task can be trusted: every question of every split is looked at.

A *problem* is a question that can't be used, or that says nothing, or something else than it seems
to. What the task leaves out by itself (malformed rows, questions of two splits) is a problem, too:
its author meant them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_cluster.commands.tasks.splits import TaskSplits, load_splits
from search_cluster.config import SearchConfig
from search_cluster.console import track
from search_cluster.errors import PromptError, SearchClusterError, in_one_line
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import shown
from search_cluster.tasks.perturbation.frames import asked_prompt
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import AnswerKind, Prompt, Task
from search_cluster.tasks.twins import asked_identity, question_key

if TYPE_CHECKING:
    from search_cluster.model.loaded import LoadedModel

MAX_LISTED = 20
"""Problems that are printed; JSON has all of them."""
SUSPICIOUS_SHARE = 0.9
"""From this share on, one place of the right choice is a problem where there are enough questions
to tell."""
ENOUGH_QUESTIONS = 20


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    problems: list[dict[str, str]] = field(default_factory=list)

    def add(self, split: str, source: str, problem: str) -> None:
        self.problems.append({"split": split, "source": source, "problem": problem})


def check_task(spec: str, config: SearchConfig, *, with_model: bool) -> dict[str, Any]:
    """What ``tasks check --json`` reports; ``ok`` says whether no problem was found.

    Args:
        spec: how the task is named.
        config: where its data is, and the model whose tokens are counted.
        with_model: whether to load the model and encode every question.

    Raises:
        TaskError: there is no such task, or not one split of it can be loaded.
    """
    task = get_task(spec)
    splits = load_splits(task, resolve_data_dir(config.data_dir))
    model = _loaded(config) if with_model else None
    found = _Found()
    figures = {split: _check_split(task, split, splits, found, model) for split in splits.loaded}
    _check_between(splits, found)
    _check_left_out(splits, found)
    return {
        "task": task.name,
        "version": task.version,
        "kind": task.kind.value,
        "ok": not found.problems,
        "splits": figures,
        "missing_splits": splits.missing,
        "num_problems": len(found.problems),
        "problems": found.problems,
    }


def _loaded(config: SearchConfig) -> "LoadedModel":
    from search_cluster.commands.model import load_configured  # torch and transformers: seconds

    return load_configured(config)


def _check_split(
    task: Task, split: str, splits: TaskSplits, found: _Found, model: "LoadedModel | None"
) -> dict[str, Any]:
    loaded = splits.loaded[split]
    lengths: list[int] = []
    tokens: list[int] = []
    for example in track(loaded.examples, f"questions of {split} checked"):
        try:
            prompt = asked_prompt(task, example)
            for problem in _problems(task, example, prompt):
                found.add(split, example.source, problem)
        except SearchClusterError as error:
            found.add(split, example.source, in_one_line(error))
            continue
        lengths.append(len(prompt.plain))
        if model is not None:
            tokens += _num_tokens(model, task, example, split, found)
    places = Counter(item.gold_index for item in loaded.examples if item.gold_index is not None)
    _check_places(places, split, found)
    return {
        "questions": len(loaded.examples),
        "malformed": len(loaded.malformed),
        "duplicates": loaded.num_duplicates,
        "longest_prompt_characters": max(lengths, default=0),
        **({"longest_tokens": max(tokens, default=0)} if model is not None else {}),
        "gold_places": {str(place): places[place] for place in sorted(places)},
    }


def _check_left_out(splits: TaskSplits, found: _Found) -> None:
    """Rows that the task itself leaves out, each once: a bad row of a file belongs to no split."""
    rows: dict[tuple[str, str], list[str]] = {}
    for split, loaded in splits.loaded.items():
        for row in loaded.malformed:
            rows.setdefault((row.source, row.reason), []).append(split)
    for (source, reason), of_splits in rows.items():
        found.add(" or ".join(dict.fromkeys(of_splits)), source, f"left out: {reason}")


def _problems(task: Task, example: Example, prompt: Prompt) -> Iterator[str]:
    """What is wrong with one question."""
    for style, text in (("plain", prompt.plain), ("chat", prompt.chat)):
        if not text.strip():
            yield f"the {style} prompt is empty"
    if task.kind is AnswerKind.CHOICE:
        yield from _choice_problems(example, prompt)
    elif stop := _cutting_stop(task, example):
        yield f"the answer {shown(example.gold)} holds {stop!r}, which ends an answer"
        return
    accepts = getattr(task, "accepts_gold", None)
    is_right = task.grade(example, example.gold) >= 1.0 if accepts is None else accepts(example)
    if not is_right:
        yield f"the grader does not accept the right answer {shown(example.gold)}"


def _cutting_stop(task: Task, example: Example) -> str | None:
    """A stop string before whose place the right answer is not right yet."""
    for stop in task.stop_strings:
        begun, found, _ = example.gold.partition(stop)
        if found and task.grade(example, begun) < 1.0:
            return stop
    return None


def _choice_problems(example: Example, prompt: Prompt) -> Iterator[str]:
    if len(prompt.choices) < 2:
        yield f"{len(prompt.choices)} choices; nothing can be told from fewer than 2"
    keys = [question_key(choice) for choice in prompt.choices]
    if not all(keys):
        yield f"one of the choices {shown(prompt.choices)} is empty"
    if len(set(keys)) < len(keys):
        yield f"two of the choices {shown(prompt.choices)} are the same up to how they are typed"
    index = example.gold_index
    if index is None or not 0 <= index < len(example.choices):
        yield f"the right choice is number {index}; there are 0 to {len(example.choices) - 1}"
    elif example.choices[index] != example.gold:
        yield f"the right answer is {shown(example.gold)}, choice {index} is another text"


def _check_places(places: Counter[int], split: str, found: _Found) -> None:
    total = sum(places.values())
    if total < ENOUGH_QUESTIONS:
        return
    place, count = places.most_common(1)[0]
    if count >= SUSPICIOUS_SHARE * total:
        found.add(
            split,
            "all questions",
            f"the right choice is number {place} in {count} of {total}: where a prompt lists the "
            "choices, a model that always says so is right; shuffle them",
        )


def _check_between(splits: TaskSplits, found: _Found) -> None:
    """Questions of one split that another asks, too."""
    asked: dict[object, tuple[str, str]] = {}
    for split, loaded in splits.loaded.items():
        for example in loaded.examples:
            key = asked_identity(example.question, example.choices)
            where = asked.setdefault(key, (split, example.source))
            if where[0] != split:
                found.add(split, example.source, f"{where[0]} asks the same ({where[1]})")


def _num_tokens(
    model: "LoadedModel", task: Task, example: Example, split: str, found: _Found
) -> list[int]:
    from search_cluster.model.prompting import encode_example

    try:
        return [encode_example(model, task, example).num_tokens]
    except PromptError as error:
        found.add(split, example.source, in_one_line(error))
        return []


def checked_lines(checked: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = [f"task {checked['task']}, version {checked['version']} ({checked['kind']})"]
    for split, figures in checked["splits"].items():
        more = [
            f"longest prompt {figures['longest_prompt_characters']:,} characters",
            *(
                [f"{figures['longest_tokens']:,} tokens with its answers"]
                if "longest_tokens" in figures
                else []
            ),
            *([f"{figures['duplicates']} repeated"] if figures["duplicates"] else []),
        ]
        lines.append(f"{split:<10} {figures['questions']:>6,} questions; {', '.join(more)}")
    lines += [f"{split:<10} none: {why}" for split, why in checked["missing_splits"].items()]
    problems = checked["problems"]
    for item in problems[:MAX_LISTED]:
        lines.append(f"problem: {item['split']}, {item['source']}: {item['problem']}")
    if len(problems) > MAX_LISTED:
        lines.append(f"and {len(problems) - MAX_LISTED} more; --json lists all")
    lines.append(
        "no problem found"
        if checked["ok"]
        else f"{len(problems)} problem{'s' * (len(problems) != 1)} found"
    )
    return lines
