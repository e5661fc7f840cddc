"""A lens for a task's answers: translators in closed form, fitted to its questions.

A lens reads the questions that it was fitted to better than others, so two more are fitted, to half
of the questions each: what teaches a router is what the one half's lens reads of the other half.

All that is ever read through it are the rows of answers, so these weigh as much as the rest of the
prompt, which is longer.

Shapes: S states of a row (one more than the path has layers), N rows, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from router_train.routers.lens_exit.answer_rows import AnswerRecorder
from search_cluster.console import track
from search_cluster.errors import CorpusError, PromptError
from search_cluster.model.lens.fitting.ridge import RidgeSums, choose_translators, translators_of
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.states import walk_states
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""The strengths of the penalty that are compared at each depth, as `RidgeSums.solve` takes them."""
HELD_OUT_EVERY = 10
"""The questions of one fact in so many choose the strength, by divergence from the final
prediction."""
MOST_ROWS = 256
"""The largest number of rows that choose."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TaskLens:
    """A lens of some questions, and two that know only half of them."""

    lens: Lens
    of_halves: tuple[Lens, Lens]
    """Fitted to each half, so that it reads the other as it reads questions of no part."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name, for `restored`."""
        return {
            f"{part}_{number}": getattr(lens, part).contiguous()
            for number, lens in enumerate((self.lens, *self.of_halves))
            for part in ("weight_LDD", "bias_LD")
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> "TaskLens":
        """What gave these tensors."""
        lens, first, second = (
            Lens(
                kind=LensKind.RIDGE,
                weight_LDD=tensors[f"weight_LDD_{number}"],
                bias_LD=tensors[f"bias_LD_{number}"],
            )
            for number in range(3)
        )
        return cls(lens=lens, of_halves=(first, second))


def fit_task_lens(
    loaded: LoadedModel,
    task: Task,
    halves: tuple[Sequence[Example], Sequence[Example]],
    facts: Mapping[str, int],
    path: LayerPath,
    depths: Sequence[int],
) -> TaskLens:
    """The translators of these depths of a path, in their order, to the path's end.

    The strength of the penalty at each depth is chosen once, for all three lenses, by questions
    whose facts taught none.

    Args:
        loaded: the model.
        task: the task, which knows how to ask.
        halves: the questions, parted.
        facts: equal numbers for questions that ask for one fact, by example id.
        path: the path whose states are read.
        depths: how many of its layers have run before each translator reads.

    Raises:
        CorpusError: there are too few questions that can be asked.
    """
    model = loaded.model
    read = [*depths, len(path)]  # the last is what the others are fitted to
    width = int(model.config.hidden_size)
    whole, *of_halves = (
        RidgeSums.of_depths(len(depths), width, {}, model.device) for _ in range(1 + len(halves))
    )
    held_out: list[Tensor] = []
    spare: list[Tensor] = []
    for half, sums in zip(halves, of_halves, strict=True):
        places: dict[int, int] = {}  # of facts, in the order of their first questions
        for example, context_STD, answer_SND in _rows_of(loaded, task, half, path):
            number = places.setdefault(facts[example.example_id], len(places))
            if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1:
                held_out.append(answer_SND[read])
                continue
            num_context, num_answer = context_STD.shape[1], answer_SND.shape[1]
            weight_N = torch.cat(
                [
                    torch.ones(num_context),
                    torch.full((num_answer,), max(1.0, num_context / num_answer)),
                ]
            )
            states_SND = torch.cat([context_STD[read], answer_SND[read]], dim=1)
            whole.add(states_SND, weight_N)
            sums.add(states_SND, weight_N)
            if not spare:
                spare.append(answer_SND[read])  # of too few questions the first one chooses
    if not all(sums.num_rows for sums in of_halves):
        raise CorpusError(
            f"{sum(map(len, halves))} questions are there to fit a lens to; at least 2 are needed "
            "that can be asked: take more, or name a lens with --lens"
        )
    chosen_SND = torch.cat(held_out or spare, dim=1)[:, :MOST_ROWS]
    found = choose_translators(model, whole, chosen_SND, STRENGTHS)
    first, second = (translators_of(sums, found.strengths) for sums in of_halves)
    lens = Lens(
        kind=LensKind.RIDGE,
        weight_LDD=found.lens.weight_LDD.cpu(),
        bias_LD=found.lens.bias_LD.cpu(),
    )
    return TaskLens(lens=lens, of_halves=(first, second))


def _rows_of(
    loaded: LoadedModel, task: Task, examples: Sequence[Example], path: LayerPath
) -> Iterator[tuple[Example, Tensor, Tensor]]:
    """For each question that can be asked the rows of its prompt, and those of its answers.

    Where answers are generated, the gold answer is read behind the prompt.
    """
    recorder = AnswerRecorder(loaded, path)
    for example in track(examples, "questions to which the lens is fitted"):
        try:
            encoded = encode_example(loaded, task, example)
        except PromptError:
            continue
        if encoded.choice_ids:
            found = recorder.record(encoded)
            yield example, found.context_STD, found.states_SND
            continue
        gold = loaded.tokenizer(example.gold, add_special_tokens=False)["input_ids"]
        ids = (*encoded.context_ids, *gold[: task.max_new_tokens])
        input_ids = torch.tensor([ids], device=loaded.model.device)
        with torch.inference_mode():
            states_SND = torch.cat(list(walk_states(loaded.model, input_ids, path)))
        first = len(encoded.context_ids) - 1
        yield example, states_SND[:, :first], states_SND[:, first:]
