"""Questions that are asked by options, and again in other forms, as controls."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search_cluster.commands.depth.gathered import GatheredLetters, LetterForm, TextForm
from search_cluster.commands.depth.reading import StudyReader
from search_cluster.depth.orders import OTHER_ORDER
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import PromptError
from search_cluster.model.depth_states.tables import ReadingTable
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.orders import reordered
from search_cluster.tasks.task import Task

if TYPE_CHECKING:
    from search_cluster.model.depth_states.probes import PromptProbe
    from search_cluster.model.lens.lens import Lens
    from search_cluster.model.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class FormReader:
    """Reads questions in several forms with the same lenses."""

    loaded: "LoadedModel"
    reader: StudyReader
    lenses: "Mapping[str, Lens]"
    settings: DepthSettings
    seed: int

    def letters(
        self, examples: Sequence[Example], others: Sequence[Example]
    ) -> GatheredLetters | None:
        """Questions of the most usual number of choices, asked for letters.

        Some of them are asked again with their choices in another order, and with letters that are
        usually none. ``None``: letters can't be asked for.

        Args:
            examples: the questions, by their numbers.
            others: questions to work in front of them.
        """
        from search_cluster.model.depth_states.option_probes import (
            LETTERS,
            letter_probe,
            worked_questions,
        )

        usual = usual_number(examples)
        worked = worked_questions([item for item in others if len(item.choices) == usual])
        asked: list[tuple[int, Example]] = []
        probes: list[PromptProbe] = []
        for number, example in enumerate(examples):
            if len(probes) >= self.settings.letter_questions:
                break
            if len(example.choices) == usual and example.gold_index is not None:
                probe = letter_probe(self.loaded, worked, example, number)
                if probe is not None:
                    asked.append((number, example))
                    probes.append(probe)
        if not probes:
            return None
        forms = []
        few = asked[: self.settings.control_questions]
        moved = [(row, *item) for row, item in enumerate(map(self._moved, few)) if item is not None]
        turned = [
            (row, order, letter_probe(self.loaded, worked, example, few[row][0]))
            for row, example, order in moved
        ]
        forms.append(self._form("letters-order", OTHER_ORDER, turned))
        same = tuple(range(usual))
        renamed = [
            (row, same, letter_probe(self.loaded, worked, example, number, first_letter=usual))
            for row, (number, example) in enumerate(few)
        ]
        name = f"letters {LETTERS[usual]}-{LETTERS[2 * usual - 1]}"
        forms.append(self._form("letters-foreign", name, renamed))
        return GatheredLetters(
            table=self._table("letters", probes),
            gold_N=np.array([item.gold_index for _, item in asked], dtype=np.int64),
            forms=tuple(form for form in forms if form is not None),
        )

    def texts(self, task: Task, examples: Sequence[Example]) -> tuple[TextForm | None, bool | None]:
        """Questions asked as the task does, with their choices in another order.

        Args:
            task: a task whose choices are scored.
            examples: the questions, by their numbers.

        Returns:
            The form, if the task's prompts show the choices in their order, and whether they do;
            ``None`` if no question has another order.
        """
        from search_cluster.model.depth_states.question_probes import question_probes
        from search_cluster.model.prompting import encode_example

        numbers: list[int] = []
        orders: list[tuple[int, ...]] = []
        by_question = []
        for number, example in enumerate(examples[: self.settings.control_questions]):
            moved = self._moved((number, example))
            if moved is None:
                continue
            with suppress(PromptError):
                if not numbers:
                    plain = encode_example(self.loaded, task, example).context_ids
                    if encode_example(self.loaded, task, moved[0]).context_ids == plain:
                        return None, False
                by_question.append(question_probes(self.loaded, task, moved[0], number))
                numbers.append(number)
                orders.append(moved[1])
        if not numbers:
            return None, None
        decisions, later = self.reader.questions("questions-order", self.lenses, by_question)
        widest = max(map(len, orders))
        form = TextForm(
            questions=tuple(numbers),
            decisions=decisions,
            later=later,
            order_NC=np.array(
                [(*order, *range(len(order), widest)) for order in orders], dtype=np.int64
            ),
        )
        return form, True

    def _moved(self, asked: tuple[int, Example]) -> tuple[Example, tuple[int, ...]] | None:
        return in_other_order(asked[1], self.seed)

    def _form(
        self,
        part: str,
        name: str,
        asked: "Sequence[tuple[int, tuple[int, ...], PromptProbe | None]]",
    ) -> LetterForm | None:
        found = [(row, order, probe) for row, order, probe in asked if probe is not None]
        if not found:
            return None
        return LetterForm(
            name=name,
            rows_N=np.array([row for row, _, _ in found], dtype=np.int64),
            table=self._table(part, [probe for _, _, probe in found]),
            order_NC=np.array([order for _, order, _ in found], dtype=np.int64),
        )

    def _table(self, part: str, probes: "Sequence[PromptProbe]") -> ReadingTable:
        from search_cluster.model.depth_states.probes import sharing_their_beginning

        return self.reader.table(part, self.lenses, sharing_their_beginning(probes))


def usual_number(examples: Sequence[Example]) -> int:
    """The most usual number of choices, the smaller one of equals."""
    counts = [len(item.choices) for item in examples]
    return max(set(counts), key=lambda count: (counts.count(count), -count))


def in_other_order(example: Example, seed: int) -> tuple[Example, tuple[int, ...]] | None:
    """The question with every choice in another place, and the former place of each.

    ``None``: there is no such order, or a choice speaks of its neighbours.
    """
    choices, gold_index = example.choices, example.gold_index
    if gold_index is None or len(set(choices)) < len(choices):
        return None
    gold_is_text = example.gold == choices[gold_index]
    for item in reordered(example, gold_is_text=gold_is_text, part=0, num_parts=1, seed=seed):
        order = tuple(choices.index(text) for text in item.choices)
        if all(place != former for place, former in enumerate(order)):
            return item, order
    return None
