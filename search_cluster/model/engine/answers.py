"""How one request's answer comes out of logits that are read row by row.

An answer is either a set of scored choices or drafted greedy decoding. This module knows nothing of
layers and states: it asks for rows and takes their readings.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.decoding import answer_text, has_stop
from search_cluster.model.engine.token_tree import TokenTree
from search_cluster.model.prompting import EncodedExample
from search_cluster.model.scoring import choice_margin
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

MIN_DRAFT_SHARE = 0.5
"""The share of earlier answers that a draft must follow to be worth its rows.

Only the answers that went as far as the draft does are counted."""


@dataclass(frozen=True, slots=True)
class RowReading:
    """What was read off one row's logits."""

    finite: bool
    """Whether all logits of the row are finite."""
    log_probs: Mapping[int, float] | None = None
    """The log-probabilities in nats of the tokens that were asked for; ``None`` if none were."""
    best_token: int = -1
    """The most likely token, the first one of equals; it is read only if no token was asked for."""
    gap: float = 0.0
    """The logit of the most likely token minus the second best."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished answer, ungraded."""

    output: str
    margin: float | None
    num_tokens: int
    """The number of tokens besides the context."""
    gap: float
    """The smallest gap that decided something: nats between choices, logits between tokens."""
    generated: tuple[tuple[int, float], ...] = ()
    """The generated tokens with their gaps."""
    is_cut: bool | None = None
    """Whether a generated answer ended for want of tokens; ``None`` of choices."""
    scores: tuple[float, ...] = ()
    """The mean log-probability per token of each choice, in nats; empty of a generated answer."""


class Answer(Protocol):
    """Asks for rows until it is answered."""

    def wanted_rows(self) -> list[int]:
        """The rows beyond the context that are to run next, ancestors first."""
        ...

    def read_rows(self) -> dict[int, list[int]]:
        """The rows whose logits are needed, each with the tokens whose log-probabilities are.

        They are among the context's rows and the wanted ones.
        """
        ...

    def take(self, readings: Mapping[int, RowReading]) -> Answered | None:
        """The answer, or ``None`` if more rows are needed.

        Raises:
            NonFiniteLogitsError: a reading that matters is NaN or infinite.
        """
        ...


class ChoiceAnswer:
    """Scores all choices in one go: their tokens branch off the context's last row."""

    def __init__(self, example: Example, encoded: EncodedExample, tree: TokenTree) -> None:
        self._example = example
        self._choices: list[list[tuple[int, int]]] = []
        self._rows: dict[int, None] = {}
        for ids in encoded.choice_ids:
            chain = tree.add_chain(tree.last_context_row, ids[:-1])
            self._rows.update(dict.fromkeys(chain))
            self._choices.append(list(zip([tree.last_context_row, *chain], ids, strict=True)))

    def wanted_rows(self) -> list[int]:
        """The rows of all tokens but each choice's last, which predicts nothing that is asked."""
        return sorted(self._rows)

    def read_rows(self) -> dict[int, list[int]]:
        """Each row that predicts a token of a choice, with these tokens."""
        asked: dict[int, list[int]] = {}
        for choice in self._choices:
            for row, token in choice:
                asked.setdefault(row, []).append(token)
        return asked

    def take(self, readings: Mapping[int, RowReading]) -> Answered:
        """The choice with the best mean log-probability per token, the first of equals."""
        _require_finite([readings[row] for choice in self._choices for row, _ in choice])
        scores = [
            sum(_log_prob(readings[row], token) for row, token in choice) / len(choice)
            for choice in self._choices
        ]
        ordered = sorted(scores, reverse=True)
        return Answered(
            output=self._example.choices[scores.index(ordered[0])],
            margin=choice_margin(scores, self._example),
            num_tokens=sum(len(choice) for choice in self._choices),
            gap=ordered[0] - ordered[1] if len(ordered) > 1 else float("inf"),
            scores=tuple(scores),
        )


class GeneratedAnswer:
    """Greedy decoding along rows that exist already, then one new row at a time."""

    def __init__(
        self,
        example: Example,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        ends: frozenset[int],
        tree: TokenTree,
    ) -> None:
        self._task = task
        self._tokenizer = tokenizer
        self._ends = ends
        self._tree = tree
        if len(tree.tokens) == tree.num_context:
            for row in tree.add_chain(
                tree.last_context_row, _draft_of(tokenizer, example.gold, task.max_new_tokens)
            ):
                tree.visits[row] += 1
        self._row = tree.last_context_row
        self._generated: list[int] = []
        self._gaps: list[float] = []

    def wanted_rows(self) -> list[int]:
        """The row that was decoded last, if it is new to this path, and the draft behind it.

        The draft is what most earlier answers went on with.
        """
        own = [] if self._row == self._tree.last_context_row else [self._row]
        return [*own, *self._draft()]

    def _draft(self) -> list[int]:
        """The rows behind the current one that enough of the answers that came here went through.

        Enough is a share of at least `MIN_DRAFT_SHARE`. A row of the right draft costs what
        decoding it would, and saves a round; a row of a wrong one is wasted.
        """
        draft: list[int] = []
        reached = deque([(self._row, 1.0)])
        visits = self._tree.visits
        while reached:
            row, share = reached.popleft()
            children = self._tree.children(row)
            total = sum(visits[child] for child in children)
            for child in children:
                child_share = share * visits[child] / max(1, total)
                if child_share >= MIN_DRAFT_SHARE:
                    draft.append(child)
                    reached.append((child, child_share))
        return draft

    def read_rows(self) -> dict[int, list[int]]:
        """All wanted rows, and at first the context's last one; no token is asked for."""
        start = [self._tree.last_context_row] if not self._generated else []
        return {row: [] for row in [*start, *self.wanted_rows()]}

    def take(self, readings: Mapping[int, RowReading]) -> Answered | None:
        """Follow the most likely tokens through the readings."""
        while self._row in readings:
            reading = readings[self._row]
            _require_finite([reading])
            self._gaps.append(reading.gap)
            token = reading.best_token
            self._generated.append(token)
            ended = token in self._ends or self._has_stop()
            if ended or len(self._generated) >= self._task.max_new_tokens:
                return self._answered(is_cut=not ended)
            self._row = self._tree.add(self._row, token)
            self._tree.visits[self._row] += 1
        return None

    def _has_stop(self) -> bool:
        stops = self._task.stop_strings
        return bool(stops) and has_stop(answer_text(self._tokenizer, self._generated), stops)

    def _answered(self, *, is_cut: bool) -> Answered:
        return Answered(
            output=answer_text(self._tokenizer, self._generated, self._task.stop_strings),
            margin=None,
            num_tokens=len(self._generated),
            gap=min(self._gaps),
            generated=tuple(zip(self._generated, self._gaps, strict=True)),
            is_cut=is_cut,
        )


def _log_prob(reading: RowReading, token: int) -> float:
    assert reading.log_probs is not None, "the row was read without asking for tokens"
    return reading.log_probs[token]


def _draft_of(tokenizer: PreTrainedTokenizerBase, gold: str, max_tokens: int) -> list[int]:
    """The gold answer as tokens that the model might generate.

    A bad guess costs rows, never correctness.
    """
    return list(tokenizer(gold, add_special_tokens=False)["input_ids"])[:max_tokens]


def _require_finite(readings: list[RowReading]) -> None:
    if not all(reading.finite for reading in readings):
        raise NonFiniteLogitsError(
            "logits are NaN or infinite; this path has no verdict: try another path, or a dtype "
            "with a wider range (bfloat16, float32)"
        )
