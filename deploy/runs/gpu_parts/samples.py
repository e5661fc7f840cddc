"""What part D looks at: models with real and with random weights, and pairs to evaluate on them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpu_parts.engine import Pair
from gpu_parts.random_models import WordTask, random_model, searched_like_paths, word_examples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from search_cluster.errors import ModelError
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.builtin.arithmetic import ARITHMETIC
from search_cluster.tasks.builtin.capitals import CAPITALS
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task

NO_MODEL = "none"
RANDOM_LAYERS = 12
NUM_PATHS = 20
NUM_EXAMPLES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A model, and pairs to evaluate on it."""

    name: str
    loaded: LoadedModel
    task: Task
    pairs: tuple[Pair, ...]


def real_samples(
    sheet: Sheet, scale: Scale, device: str, dtype: str, model: str
) -> Iterator[Sample]:
    """Built-in tasks on the named model.

    There are none, and a note on the sheet, without a model or what loads one; a model that is
    there and can't be loaded breaks a rule.
    """
    if model == NO_MODEL:
        sheet.lack(f"real weights, {dtype}", "no model with real weights was named")
        return
    try:
        # Not on top: both want packages that a bare GPU machine may lack.
        from search_cluster.bridged_spec import DEMO_SPEC
        from search_cluster.model.load.demo import find_demo_gguf
        from search_cluster.model.load.loading import load_model

        if model == DEMO_SPEC:
            find_demo_gguf()
    except (ModelError, ImportError) as error:
        sheet.lack(f"real weights, {dtype}", str(error))
        return
    try:
        loaded = load_model(model, dtype=dtype, device=device)
    except (ModelError, ImportError) as error:
        sheet.judge(f"{model} can be loaded in {dtype}", str(error), False)
        return
    for task, count in ((CAPITALS, scale.choice_verdicts), (ARITHMETIC, scale.generated_verdicts)):
        examples = select_examples(task.load("test", None).examples, NUM_EXAMPLES, 0)
        yield Sample(
            name=f"{model}, {dtype}, {task.name}",
            loaded=loaded,
            task=task,
            pairs=_pairs(examples, loaded.num_layers, count),
        )


def random_samples(
    sheet: Sheet, scale: Scale, device: str, dtype: str, model: str
) -> Iterator[Sample]:
    """Random words on random weights; what it takes is what `real_samples` does."""
    name, shape = next(iter(scale.shapes.items()))
    depth = min(RANDOM_LAYERS, shape["num_hidden_layers"])
    loaded = random_model(shape, device=device, dtype=dtype, num_layers=depth)
    num_rows, num_choices, choice_tokens = scale.choice_rows
    choices = word_examples(
        NUM_EXAMPLES, num_rows=num_rows, num_choices=num_choices, choice_tokens=choice_tokens
    )
    yield Sample(
        name=f"random {name}, {dtype}, choices",
        loaded=loaded,
        task=WordTask(),
        pairs=_pairs(choices, depth, scale.choice_verdicts),
    )
    tokens = min(scale.answer_tokens)
    questions = word_examples(NUM_EXAMPLES, num_rows=scale.prompt_rows, seed=1)
    yield Sample(
        name=f"random {name}, {dtype}, generated {tokens}",
        loaded=loaded,
        task=WordTask(max_new_tokens=tokens),
        pairs=_pairs(questions, depth, scale.generated_verdicts),
    )


def _pairs(examples: Sequence[Example], num_layers: int, count: int) -> tuple[Pair, ...]:
    paths = searched_like_paths(num_layers, NUM_PATHS)
    pairs = [(example, path) for example in examples for path in paths]
    random.Random(0).shuffle(pairs)
    return tuple(pairs[:count])
