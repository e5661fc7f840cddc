"""What lenses read of the positions of an experiment, and nothing of how they do.

Shapes: N positions, S states of a position (depths 0..L), L layers, K tokens that are asked for, G
frequency buckets, P states of a path.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from search_cluster.errors import InvalidValueError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
AnyArray = NDArray[Any]

NO_TOKEN = -1
"""Stands where fewer tokens are asked for than elsewhere in a table."""
LOGIT, TUNED, REWEIGHTED, SHUFFLED = "logit", "tuned", "reweighted", "shuffled"
"""Names of lenses; the third is fitted like a tuned one, with one frequent token counted less, and
the fourth is the tuned one with its translators shuffled among the depths."""


class PlainArrays:
    """A dataclass of arrays alone."""

    __slots__ = ()

    def to_arrays(self) -> dict[str, AnyArray]:
        """All arrays by name, as a file holds them."""
        own: Any = self
        return {item.name: getattr(own, item.name) for item in fields(own)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> Self:
        """What these are the arrays of."""
        return cls(**arrays)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DepthReadings:
    """What one lens reads of N positions at S depths each."""

    top_SN: NDArray[np.int32]
    """The likeliest token's id."""
    top_probability_SN: NDArray[np.float32]
    """Its probability."""
    gap_SN: NDArray[np.float32]
    """Its lead over the second likeliest in probability."""
    entropy_SN: NDArray[np.float32]
    """In nats."""
    divergence_SN: NDArray[np.float32]
    """KL(end || lens) in nats."""
    rank_SNK: NDArray[np.int32]
    """The number of tokens that are likelier than each that was asked for; -1: none was."""
    log_probability_SNK: NDArray[np.float32]
    """The log-probability of each token that was asked for, in nats; NaN: none was."""
    mass_SNG: NDArray[np.float32]
    """The probability of all tokens of a frequency bucket."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReadingTable:
    """The positions of an experiment, and what each lens reads there."""

    prompt_N: Ints
    """The prompt that a position is of."""
    label_N: Ints
    """What the experiment calls a position: a word class, the number of an answer's token."""
    asked_NK: Ints
    """The tokens that were asked for: first the model's own prediction, then the experiment's."""
    influence_LN: NDArray[np.float32]
    """1 - cos of the state before and after each layer."""
    lenses: Mapping[str, DepthReadings]
    """By the lens' name."""
    fact_N: Ints | None = None
    """The fact that a position's prompt asks for; ``None``: each prompt for one of its own."""

    @property
    def drawn_by(self) -> Ints:
        """What is resampled: facts with all their prompts, else prompts."""
        return self.prompt_N if self.fact_N is None else self.fact_N

    def of_facts(self, fact_P: Ints) -> "ReadingTable":
        """The same, whose prompts ask for these facts, by the prompts' numbers."""
        return replace(self, fact_N=fact_P[self.prompt_N])

    @property
    def num_layers(self) -> int:
        """The number of layers of the plain model."""
        return len(self.influence_LN)

    @property
    def num_positions(self) -> int:
        """The number of positions."""
        return len(self.prompt_N)

    def select(self, rows_N: Bools) -> "ReadingTable":
        """Some of the positions."""
        return ReadingTable(
            fact_N=None if self.fact_N is None else self.fact_N[rows_N],
            prompt_N=self.prompt_N[rows_N],
            label_N=self.label_N[rows_N],
            asked_NK=self.asked_NK[rows_N],
            influence_LN=self.influence_LN[:, rows_N],
            lenses={
                name: DepthReadings(
                    **{
                        item.name: getattr(readings, item.name)[:, rows_N]
                        for item in fields(DepthReadings)
                    }
                )
                for name, readings in self.lenses.items()
            },
        )

    def to_arrays(self) -> dict[str, AnyArray]:
        """All arrays by name, as a file holds them."""
        arrays: dict[str, AnyArray] = {
            "prompt_N": self.prompt_N,
            "label_N": self.label_N,
            "asked_NK": self.asked_NK,
            "influence_LN": self.influence_LN,
        }
        for name, readings in self.lenses.items():
            for item in fields(DepthReadings):
                arrays[f"{name}.{item.name}"] = getattr(readings, item.name)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> "ReadingTable":
        """The table of which these are the arrays."""
        names = dict.fromkeys(key.split(".")[0] for key in arrays if "." in key)
        own = {key: value for key, value in arrays.items() if "." not in key}
        return cls(
            **own,
            lenses={
                name: DepthReadings(
                    **{item.name: arrays[f"{name}.{item.name}"] for item in fields(DepthReadings)}
                )
                for name in names
            },
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PathReadings:
    """What one lens reads along a path, beside the plain model at the same depths."""

    prompt_N: NDArray[np.int64]
    rank_PN: NDArray[np.int32]
    """The rank of the plain model's prediction."""
    end_divergence_PN: NDArray[np.float32]
    """KL from the plain model's output, in nats."""
    apart_PN: NDArray[np.float32]
    """KL from what the lens reads of the plain model's state at the same depth, in nats."""
    distance_PN: NDArray[np.float32]
    """1 - cos of the two states."""


def joined(tables: Sequence[ReadingTable]) -> ReadingTable:
    """The positions of several tables, in their order; lenses that all of them have are kept.

    Their facts are not: they are told of whole experiments.

    Raises:
        InvalidValueError: there is no table.
    """
    if not tables:
        raise InvalidValueError("no readings to join; an experiment reads at least one position")
    num_asked = max(table.asked_NK.shape[1] for table in tables)
    names = [name for name in tables[0].lenses if all(name in item.lenses for item in tables)]
    return ReadingTable(
        prompt_N=np.concatenate([table.prompt_N for table in tables]),
        label_N=np.concatenate([table.label_N for table in tables]),
        asked_NK=np.concatenate(
            [_widened(table.asked_NK, num_asked, NO_TOKEN) for table in tables]
        ),
        influence_LN=np.concatenate([table.influence_LN for table in tables], axis=1),
        lenses={name: _joined([table.lenses[name] for table in tables]) for name in names},
    )


def _joined(parts: Sequence[DepthReadings]) -> DepthReadings:
    num_asked = max(part.rank_SNK.shape[2] for part in parts)
    values = {}
    for item in fields(DepthReadings):
        arrays: Iterable[AnyArray] = (getattr(part, item.name) for part in parts)
        if item.name.endswith("SNK"):
            filler = NO_TOKEN if item.name == "rank_SNK" else np.nan
            arrays = (_widened(array, num_asked, filler) for array in arrays)
        values[item.name] = np.concatenate(list(arrays), axis=1)
    return DepthReadings(**values)


def _widened(array: AnyArray, size: int, filler: float) -> AnyArray:
    """The array with a last axis of that size."""
    missing = size - array.shape[-1]
    widths = [*([(0, 0)] * (array.ndim - 1)), (0, missing)]
    return np.pad(array, widths, constant_values=filler) if missing else array
