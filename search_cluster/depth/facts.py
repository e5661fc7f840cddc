"""Facts whose answers have several tokens: which token of an answer is known at which depth.

A fact file is JSON: a list of ``{"prompt": ..., "attribute": ...}``, as in known_1000.json.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search_cluster.depth.onset import onsets_of
from search_cluster.depth.resamples import Measured, Resamples
from search_cluster.errors import ConfigError
from search_cluster.model.depth_states.labels import LABEL_STEP, answer_label
from search_cluster.model.depth_states.tables import Bools, Floats, ReadingTable

GOLD = 1
"""Where the answer's token stands among those that are asked for."""
MAX_TOKENS = 3
"""Tokens of the longest answers that have groups of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedFact:
    """A text that a fact completes."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """How much later an answer's first token is stable than its second, on the same facts."""

    lens: str
    case: str
    """``right``: the model predicts both tokens; ``all``: the model's own predictions, right or
    not; ``gold``: the true tokens, whatever the model predicts."""
    threshold: int
    crossing: str
    """``first`` or ``stable``."""
    difference: Measured
    """First minus second, in depths; facts in which one is not there at the end are left out."""
    left_out: int
    """How many those are."""


def read_facts(path: Path) -> tuple[CompletedFact, ...]:
    """The facts of a file.

    Raises:
        ConfigError: the file can't be read, or is no list of facts.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read as JSON: {error}; name another file") from error
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f'{path} is no list of {{"prompt": ..., "attribute": ...}}')
    facts = []
    for number, row in enumerate(rows):
        values = row if isinstance(row, dict) else {}
        prompt, answer = values.get("prompt"), values.get("attribute")
        if not isinstance(prompt, str) or not isinstance(answer, str) or not answer.strip():
            raise ConfigError(
                f"{path}: fact {number} has no prompt and attribute, both texts; each fact has them"
            )
        facts.append(CompletedFact(prompt=prompt.rstrip(), answer=answer.strip()))
    return tuple(facts)


def answer_groups(table: ReadingTable) -> dict[str, Bools]:
    """The positions of each token of answers of one, two and three tokens."""
    return {
        f"token {number} of {num_tokens}": table.label_N == answer_label(num_tokens, number)
        for num_tokens in range(1, MAX_TOKENS + 1)
        for number in range(1, num_tokens + 1)
    }


def is_right(table: ReadingTable) -> Bools:
    """Whether the model's own prediction is the true token."""
    return np.asarray(table.asked_NK[:, 0] == table.asked_NK[:, GOLD])


def token_order(table: ReadingTable, thresholds: tuple[int, ...]) -> tuple[TokenOrder, ...]:
    """Compare first and second tokens of answers that have at least two.

    Args:
        table: the positions.
        thresholds: values of k.
    """
    number_N = table.label_N % LABEL_STEP
    first_N, second_N = number_N == 1, number_N == 2
    paired = np.intersect1d(table.prompt_N[first_N], table.prompt_N[second_N])
    if not len(paired):
        return ()
    rows = [_rows_of(table, number_N == number, paired) for number in (1, 2)]
    right_P = np.logical_and(*(is_right(table)[row] for row in rows))
    everything_P = np.ones(len(paired), dtype=bool)
    fact_P = table.drawn_by[rows[0]]
    orders = []
    for lens, readings in table.lenses.items():
        for threshold in thresholds:
            for case, token, chosen_P in (
                ("right", 0, right_P),
                ("all", 0, everything_P),
                ("gold", GOLD, everything_P),
            ):
                onsets = onsets_of(readings.rank_SNK[:, :, token], threshold)
                for crossing, onset_N in (("first", onsets.first_N), ("stable", onsets.stable_N)):
                    later_P = onset_N[rows[0]] - onset_N[rows[1]]
                    orders.append(
                        _order(lens, case, threshold, crossing, later_P, chosen_P, fact_P)
                    )
    return tuple(orders)


def _order(
    lens: str,
    case: str,
    threshold: int,
    crossing: str,
    later_P: Floats,
    chosen_P: Bools,
    fact_P: np.typing.NDArray[np.int64],
) -> TokenOrder:
    known_P = chosen_P & ~np.isnan(later_P)
    return TokenOrder(
        lens=lens,
        case=case,
        threshold=threshold,
        crossing=crossing,
        difference=Resamples(fact_P).mean(np.nan_to_num(later_P), known_P),
        left_out=int((chosen_P & ~known_P).sum()),
    )


def _rows_of(
    table: ReadingTable, inside_N: Bools, prompts: np.typing.NDArray[np.int64]
) -> np.typing.NDArray[np.int64]:
    """The row of each prompt among some rows; a prompt has one at most."""
    places = {int(table.prompt_N[row]): row for row in np.flatnonzero(inside_N)}
    return np.array([places[int(prompt)] for prompt in prompts], dtype=np.int64)
