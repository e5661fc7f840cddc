"""One question of a task as a model sees it: prompt, choices, tokens, right answer."""

from typing import TYPE_CHECKING, Any

from search_cluster.commands.tasks.splits import load_splits
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError, TaskError
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.frames import asked_prompt
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task

if TYPE_CHECKING:
    from search_cluster.model.loaded import LoadedModel


def show_question(
    spec: str, config: SearchConfig, *, split: str | None, number: int, with_model: bool
) -> dict[str, Any]:
    """What ``tasks show --json`` reports.

    Args:
        spec: how the task is named.
        config: where its data is, and the model whose tokens are shown.
        split: the split; ``None``: the first that there is.
        number: the number of the question in its split, from 0.
        with_model: whether to load the model.

    Raises:
        TaskError: there is no such task or split.
        ConfigError: there is no such question.
        PromptError: the model can't be asked this question.
    """
    task = get_task(spec)
    data_dir = resolve_data_dir(config.data_dir)
    if split is None:
        splits = load_splits(task, data_dir)
        split, loaded = next(iter(splits.loaded.items()))
    else:
        loaded = task.load(split, data_dir)
    if not loaded.examples:
        raise TaskError(f"split {split!r} of task {task.name} is empty; choose another one")
    if number >= len(loaded.examples):
        raise ConfigError(
            f"example is {number}; {split} of task {task.name} has questions 0 to "
            f"{len(loaded.examples) - 1}"
        )
    example = loaded.examples[number]
    return {
        "task": task.name,
        "version": task.version,
        "kind": task.kind.value,
        "description": task.description,
        "split": split,
        "questions": len(loaded.examples),
        "example": number,
        **_asked(task, example),
        **(_seen(task, example, config) if with_model else {}),
    }


def _asked(task: Task, example: Example) -> dict[str, Any]:
    prompt = asked_prompt(task, example)
    return {
        "example_id": example.example_id,
        "source": example.source,
        "prompt_plain": prompt.plain,
        "prompt_chat": prompt.chat,
        "delimiter": prompt.delimiter if prompt.choices else "",
        "choices": list(prompt.choices),
        "gold": example.gold,
        "gold_index": example.gold_index,
        "difficulty": example.difficulty,
        "max_new_tokens": task.max_new_tokens,
        "stop_strings": list(task.stop_strings),
    }


def _seen(task: Task, example: Example, config: SearchConfig) -> dict[str, Any]:
    """The tokens that the model reads."""
    from search_cluster.commands.model import load_configured  # torch and transformers: seconds
    from search_cluster.model.prompting import encode_example

    loaded = load_configured(config)
    encoded = encode_example(loaded, task, example)
    return {
        "model": loaded.spec,
        "asked_as": "chat" if loaded.chat else "plain",
        "context_tokens": _pieces(loaded, encoded.context_ids),
        "choice_tokens": [_pieces(loaded, ids) for ids in encoded.choice_ids],
        "context_text": loaded.tokenizer.decode(list(encoded.context_ids)),
    }


def _pieces(loaded: "LoadedModel", ids: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"id": token, "text": loaded.tokenizer.decode([token])} for token in ids]


def shown_lines(shown: dict[str, Any]) -> list[str]:
    """The same for people."""
    style = shown.get("asked_as")
    lines = [
        f"task {shown['task']}, version {shown['version']}: {shown['description']}",
        f"{shown['split']} question {shown['example']} of {shown['questions']} ({shown['source']})",
    ]
    if style is None:
        lines += ["", "prompt in plain text:", *_block(shown["prompt_plain"])]
        if shown["prompt_chat"] != shown["prompt_plain"]:
            lines += ["", "message to a chat model:", *_block(shown["prompt_chat"])]
    else:
        tokens = shown["context_tokens"]
        lines += [
            "",
            f"prompt of {len(tokens)} tokens as {shown['model']} reads it ({style}):",
            *_block(shown["context_text"]),
            f"its tokens: {_tokens(tokens)}",
        ]
    lines += ["", *_answer_lines(shown)]
    return lines


def _answer_lines(shown: dict[str, Any]) -> list[str]:
    if not shown["choices"]:
        stops = ", ".join(map(repr, shown["stop_strings"])) or "nothing but its end"
        return [
            f"right answer: {shown['gold']!r}",
            f"generated: up to {shown['max_new_tokens']} tokens, stopped by {stops}",
        ]
    joint = "" if shown.get("asked_as") == "chat" else shown["delimiter"]
    lines = [f"choices, scored as continuations (each after {joint!r}):"]
    for index, choice in enumerate(shown["choices"]):
        mark = "*" if index == shown["gold_index"] else " "
        tokens = shown.get("choice_tokens")
        told = f"  {_tokens(tokens[index])}" if tokens else ""
        lines.append(f"{mark} {choice!r}{told}")
    return [*lines, "(* is right)"]


def _block(text: str) -> list[str]:
    """A text line by line behind a bar, so that its ends and empty lines are seen."""
    return [f"| {line}" for line in text.split("\n")]


def _tokens(pieces: list[dict[str, Any]]) -> str:
    return " ".join(f"{piece['text']!r}" for piece in pieces)
