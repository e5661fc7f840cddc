"""Numbers that sum up what a search found."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_cluster.corpus.causes import failure_causes
from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import InvalidValueError
from search_cluster.paths.cost import BARE, PathCosts
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import is_guessing, mean_chance, wilson_interval

CountPairs = tuple[tuple[int, int], ...]
"""Pairs of a value and how many examples have it, with ascending values."""
LengthPairs = tuple[tuple[int | float, int], ...]
"""The same of layers, which are no whole numbers where paths cross bridges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSummary:
    """What a search found, in numbers.

    A share of nothing is 0, with the interval (0, 1).
    """

    examples: int
    """The number of examples."""
    num_layers: int
    """The depth of the model; 0 without a single path."""
    paths_searched: int
    """The number of verdicts on the examples, from a device or from the cache, identity included. A
    preset that asks for evidence searches more, on perturbations and other questions; only sessions
    count that, see `num_searched`."""
    failures: int
    """The number of paths without a verdict."""
    first_failure: str
    """The example and the path of the first of them, and its cause; empty if there is none."""
    failure_causes: tuple[tuple[str, int], ...]
    """Why paths have no verdict, and how many for that reason, the most frequent first."""
    identity_accuracy: float
    """The share of examples that the plain model answers rightly. An example without a verdict
    counts as wrong."""
    identity_low: float
    """The lower end of the 95 % Wilson interval of `identity_accuracy`."""
    identity_high: float
    """The upper end of the same."""
    found_accuracy: float
    """The share of examples with a right best path or a right identity. It was found with the gold
    answer at hand: a bound on what a router could reach, and partly luck."""
    found_low: float
    """The lower end of the 95 % Wilson interval of `found_accuracy`."""
    found_high: float
    """The upper end of the same."""
    improved: int
    """The number of examples whose best path is right and is not identity."""
    mean_layers_saved: float
    """The depth of the model minus the layers of the best path, averaged over the examples whose
    best path is right."""
    mean_best_length: float
    """The number of layers of the best path and what the bridges cost that it crosses, averaged
    over the same examples."""
    best_lengths: LengthPairs
    """How many layers the right best paths have, bridges included."""
    layer_shares: tuple[tuple[float, float, float], ...]
    """For each layer, the shares of right best paths that skip it, run it once, and run it more
    often; the shape is [num_layers, 3]."""
    evaluations: CountPairs
    """How many verdicts an example took."""
    stop_reasons: tuple[tuple[str, int], ...]
    """Why searches ended, most frequent first."""
    chance: float | None
    """The accuracy of uniform guesses among the choices; ``None`` unless all examples have some."""
    plain_is_guessing: bool | None
    """Whether the plain model can't be told from such guesses; ``None`` without chance."""
    num_unchecked: int
    """The number of examples whose best path counts as credible without a single check, as older
    versions wrote them."""

    @property
    def num_best_right(self) -> int:
        """The number of examples whose best path is right."""
        return sum(count for _, count in self.best_lengths)


def summarise(records: Sequence[ExampleRecord], costs: PathCosts = BARE) -> CorpusSummary:
    """Sum up records of one model.

    Args:
        records: the records.
        costs: what paths of the model cost (`Provenance.costs`).

    Raises:
        InvalidValueError: the records hold paths of models of different depths.
    """
    examples = len(records)
    num_layers = _depth(records)
    best = [record.best[0].path for record in records if _best_is_right(record)]
    identity_right = sum(
        record.identity is not None and record.identity.is_correct for record in records
    )
    found_right = sum(
        _best_is_right(record) or (record.identity is not None and record.identity.is_correct)
        for record in records
    )
    identity_low, identity_high = wilson_interval(identity_right, examples)
    found_low, found_high = wilson_interval(found_right, examples)
    lengths = [costs.layers(path) for path in best]
    mean_best_length = _share(sum(lengths), len(best))
    stop_reasons = Counter(record.stop_reason for record in records)
    chance = mean_chance(len(record.example.choices) for record in records)
    return CorpusSummary(
        examples=examples,
        num_layers=num_layers,
        paths_searched=sum(len(record.evaluated) for record in records),
        failures=sum(len(record.failures) for record in records),
        first_failure=next(iter(_failures(records)), ""),
        failure_causes=failure_causes(records),
        identity_accuracy=_share(identity_right, examples),
        identity_low=identity_low,
        identity_high=identity_high,
        found_accuracy=_share(found_right, examples),
        found_low=found_low,
        found_high=found_high,
        improved=sum(not path.is_identity for path in best),
        mean_layers_saved=num_layers - mean_best_length if best else 0.0,
        mean_best_length=mean_best_length,
        best_lengths=tuple(sorted(Counter(lengths).items())),
        layer_shares=_layer_shares(best, num_layers),
        evaluations=_counted(len(record.evaluated) for record in records),
        stop_reasons=tuple(sorted(stop_reasons.items(), key=lambda item: (-item[1], item[0]))),
        chance=chance,
        plain_is_guessing=is_guessing(identity_low, chance),
        num_unchecked=sum(map(_best_is_unchecked, records)),
    )


def num_searched(run: Mapping[str, Any], summary: CorpusSummary) -> int:
    """The number of paths searched.

    Those for evidence are included if the run's counters know them.

    Args:
        run: what ``search --json`` says; it may lack keys, and an invocation that was interrupted
            counted less.
        summary: the summary of the corpus.
    """
    counted = run.get("paths_searched")
    return max(summary.paths_searched, counted if isinstance(counted, int) else 0)


def _failures(records: Sequence[ExampleRecord]) -> Iterator[str]:
    for record in records:
        for failure in record.failures:
            place = f"example {record.example.example_id}, path {failure.path}"
            yield f"{place}: {failure.kind}: {failure.message}"


def _best_is_right(record: ExampleRecord) -> bool:
    return bool(record.best) and record.best[0].verdict.is_correct


def _best_is_unchecked(record: ExampleRecord) -> bool:
    """Whether the best path is credible, and there was nothing that it could fail."""
    return bool(record.best) and any(
        item.credible and item.path == record.best[0].path and not item.num_guide + item.num_verify
        for item in record.evidence
    )


def _depth(records: Sequence[ExampleRecord]) -> int:
    depths = {item.path.num_layers for record in records for item in record.evaluated}
    depths |= {failure.path.num_layers for record in records for failure in record.failures}
    if len(depths) > 1:
        raise InvalidValueError(
            f"records of models of {sorted(depths)} layers; sum up one model at a time"
        )
    return depths.pop() if depths else 0


def _layer_shares(
    best: Sequence[LayerPath], num_layers: int
) -> tuple[tuple[float, float, float], ...]:
    counts = [[0, 0, 0] for _ in range(num_layers)]
    for path in best:
        for layer, uses in enumerate(path.counts()):
            counts[layer][min(uses, 2)] += 1
    return tuple(
        (_share(skip, len(best)), _share(execute, len(best)), _share(repeat, len(best)))
        for skip, execute, repeat in counts
    )


def _counted(values: Iterable[int]) -> CountPairs:
    return tuple(sorted(Counter(values).items()))


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
