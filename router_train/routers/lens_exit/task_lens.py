"""A lens for a task's answers: translators in closed form, fitted to some of its questions.

All that is ever read through it are the rows of answers, so these weigh as much as the rest of the
prompt, which is longer.

Shapes: S states of a row (L + 1 depths), N rows, D width.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from router_train.data.progress import track
from router_train.routers.lens_exit.answer_rows import AnswerRecorder
from search_cluster.errors import CorpusError, PromptError
from search_cluster.model.lens.fitting.ridge import RidgeSums, choose_translators
from search_cluster.model.lens.fitting.rows import read_rows
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""The strengths of the penalty that are compared at each depth, as `RidgeSums.solve` takes them."""
HELD_OUT_EVERY = 10
"""One of so many questions chooses the strength, by divergence from the final prediction."""
MOST_ROWS = 256
"""The largest number of rows that choose."""


def fit_task_lens(
    loaded: LoadedModel, task: Task, examples: Sequence[Example], depths: Sequence[int]
) -> Lens:
    """The translators of these depths, in their order.

    Raises:
        CorpusError: there are too few questions that can be asked.
    """
    model = loaded.model
    read = [*depths, loaded.num_layers]  # the last is what the others are fitted to
    sums = RidgeSums.of_depths(len(depths), int(model.config.hidden_size), {}, model.device)
    held_out: list[Tensor] = []
    rows_of = _rows_of(loaded, task, examples)
    for number, (context_STD, answer_SND) in enumerate(rows_of):
        if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 or not (held_out or number):
            held_out.append(answer_SND[read])
            continue
        num_context, num_answer = context_STD.shape[1], answer_SND.shape[1]
        weight_N = torch.cat(
            [torch.ones(num_context), torch.full((num_answer,), max(1.0, num_context / num_answer))]
        )
        sums.add(torch.cat([context_STD[read], answer_SND[read]], dim=1), weight_N)
    if not held_out or not sums.num_rows:
        raise CorpusError(
            f"{len(examples)} questions are there to fit a lens to; at least 2 are needed that can "
            "be asked: take more, or name a lens with --lens"
        )
    chosen_SND = torch.cat(held_out, dim=1)[:, :MOST_ROWS]
    lens = choose_translators(model, sums, chosen_SND, STRENGTHS).lens
    return Lens(kind=LensKind.RIDGE, weight_LDD=lens.weight_LDD.cpu(), bias_LD=lens.bias_LD.cpu())


def _rows_of(
    loaded: LoadedModel, task: Task, examples: Sequence[Example]
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each question that can be asked the rows of its prompt, and those of its answers.

    Where answers are generated, the gold answer is read behind the prompt.
    """
    recorder = AnswerRecorder(loaded)
    for example in track(examples, "questions to which the lens is fitted"):
        try:
            encoded = encode_example(loaded, task, example)
        except PromptError:
            continue
        if encoded.choice_ids:
            found = recorder.record(encoded)
            yield found.context_STD, found.states_SND
            continue
        gold = loaded.tokenizer(example.gold, add_special_tokens=False)["input_ids"]
        ids = (*encoded.context_ids, *gold[: task.max_new_tokens])
        states_SND = read_rows(loaded.model, [TokenSequence(ids=ids)]).states_SND
        first = len(encoded.context_ids) - 1
        yield states_SND[:, :first], states_SND[:, first:]
