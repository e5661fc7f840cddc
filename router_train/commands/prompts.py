"""The prompts of a task's questions, for commands that generate after them."""

from router_train.data.question_choice import QuestionChoice
from search_cluster.console import say
from search_cluster.errors import PromptTooLongError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task


def prompts_of(
    loaded: LoadedModel, questions: QuestionChoice, task: Task, limit: int | None
) -> list[tuple[int, ...]]:
    """The token ids of the first prompts, in the order that the seed draws.

    Those that do not fit into the model's context are left out, and it is said how many.

    Args:
        loaded: the model that reads them.
        questions: split, seed and data folder.
        task: whose questions.
        limit: the number of prompts at most; ``None``: all.

    Raises:
        TaskError: the split can't be read.
    """
    found = task.load(questions.split, resolve_data_dir(questions.data_dir)).examples
    prompts: list[tuple[int, ...]] = []
    num_too_long = 0
    for example in select_examples(found, None, questions.seed):
        if len(prompts) == limit:
            break
        try:
            prompts.append(encode_example(loaded, task, example).context_ids)
        except PromptTooLongError:
            num_too_long += 1
    if num_too_long:
        say(f"{num_too_long} prompts are longer than the model's context and left out")
    return prompts
