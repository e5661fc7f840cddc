"""What a router is taught: the decisions of the best path of each example of a corpus.

This module knows nothing about tensors and models. A label is partly luck (on a four-way question a
ruined path is right one time in four), which is why routers are judged on held-out questions only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_train.config import KEEP_ALL, KEEP_CHANGED, LABELS_UNGUARDED, FitConfig
from router_train.data.facts import fact_places
from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import CorpusError
from search_cluster.paths.layer_path import EXECUTE, REPEAT, LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed

NUM_DECISIONS = 3
"""The decisions are skip, execute and repeat."""
HELD_OUT_SPLIT = "test"
"""Examples of this split never teach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLabel:
    """One example and the path that its router should choose."""

    example: Example
    decisions: tuple[int, ...]
    """The decision for each layer: 0 skips, 1 executes, 2 repeats. Shape ``[num_layers]``."""

    @property
    def path(self) -> LayerPath:
        """The path of these decisions."""
        return LayerPath.from_decisions(self.decisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """The labels of one corpus, in the order of their example ids, and what was left out."""

    train: tuple[PathLabel, ...]
    validation: tuple[PathLabel, ...]
    """Labels that are held out for early stopping; nothing in ``train`` asks for their facts."""
    num_layers: int
    num_unsolved: int
    """The number of examples without a right path. They are labelled with identity if ``keep`` is
    ``all``, and left out otherwise."""
    num_unchanged: int
    """The number of examples left out because their best path is identity (``keep`` is
    ``changed``)."""
    num_inexpressible: int
    """The number of examples left out because every best path re-orders layers or runs one more
    than twice."""
    num_test: int
    """The number of examples left out because they belong to the test split."""
    num_failed: int = 0
    """The number of examples left out because the plain model has no verdict on them: its context
    is too short, or it broke down."""

    def class_counts(self) -> tuple[int, ...]:
        """How often the training labels skip, execute and repeat a layer. Shape ``[3]``."""
        counts = Counter(decision for label in self.train for decision in label.decisions)
        return tuple(counts[decision] for decision in range(NUM_DECISIONS))


def read_labels(corpus: Corpus, config: FitConfig) -> LabelSet:
    """The labels that ``config`` keeps of a corpus, split by fact (`fact_places`).

    The split depends on nothing but the questions, so it is the same in every run, and questions
    that ask for one fact, in whatever words, stay on one side.

    Raises:
        CorpusError: labels of fewer than two facts are left.
    """
    num_layers = corpus.manifest.provenance.num_layers
    left_out: Counter[str] = Counter()
    labels: list[PathLabel] = []
    for record in sorted(corpus.records, key=lambda record: record.example.example_id):
        label = _label(record, num_layers, config, left_out)
        if label is not None:
            labels.append(label)
    places = fact_places([record.example for record in corpus.records if can_teach(record)])
    if len({places[label.example.example_id] for label in labels}) < 2:
        raise CorpusError(
            f"the corpus has {len(corpus.records)} examples, of which {len(labels)} can teach a "
            f"router ({_reasons(left_out)}); at least 2 different questions that share no "
            "fact are needed: search more examples (--limit)"
        )
    train, validation = _split(labels, places, config.validation_share)
    return LabelSet(
        train=_limited(train, config),
        validation=validation,
        num_layers=num_layers,
        num_unsolved=left_out["unsolved"],
        num_unchanged=left_out["unchanged"],
        num_inexpressible=left_out["inexpressible"],
        num_test=left_out["test"],
        num_failed=left_out["failed"],
    )


def can_teach(record: ExampleRecord) -> bool:
    """Whether an example may teach.

    It may unless it is a test question, or the plain model can't answer it.
    """
    return record.example.split != HELD_OUT_SPLIT and record.identity is not None


def _limited(labels: tuple[PathLabel, ...], config: FitConfig) -> tuple[PathLabel, ...]:
    """The training labels that the limit leaves, in their order.

    A larger limit only adds labels.
    """
    if config.train_limit is None:
        return labels
    ranked = sorted(labels, key=lambda label: derive_seed(config.seed, label.example.example_id))
    chosen = {label.example.example_id for label in ranked[: config.train_limit]}
    return tuple(label for label in labels if label.example.example_id in chosen)


def _label(
    record: ExampleRecord, num_layers: int, config: FitConfig, left_out: Counter[str]
) -> PathLabel | None:
    if not can_teach(record):
        left_out["test" if record.example.split == HELD_OUT_SPLIT else "failed"] += 1
        return None
    # A preset that asks for no evidence has one list for both.
    best = (record.unguarded or record.best) if config.labels == LABELS_UNGUARDED else record.best
    right = [found.path for found in best if found.verdict.is_correct]
    if not right:
        left_out["unsolved"] += 1
        if config.keep != KEEP_ALL:
            return None
        right = [LayerPath.identity(num_layers)]
    expressible = [path for path in right if path.keeps_order and max(path.counts()) <= REPEAT]
    if not expressible:
        left_out["inexpressible"] += 1
        return None
    if config.keep == KEEP_CHANGED and expressible[0].is_identity:
        left_out["unchanged"] += 1
        return None
    return PathLabel(example=record.example, decisions=expressible[0].decisions())


def _split(
    labels: Sequence[PathLabel], places: Mapping[str, int], validation_share: float
) -> tuple[tuple[PathLabel, ...], tuple[PathLabel, ...]]:
    """Train and validation labels, parted by the places of their facts.

    Labels whose place lies below the share are validation. Neither side is left empty.
    """
    ranked = sorted({places[label.example.example_id] for label in labels})
    held_out = {value for value in ranked if value < validation_share * 2**64} or {ranked[0]}
    if len(held_out) == len(ranked):
        held_out.remove(ranked[-1])
    parts: tuple[list[PathLabel], list[PathLabel]] = ([], [])
    for label in labels:
        parts[places[label.example.example_id] in held_out].append(label)
    return tuple(parts[0]), tuple(parts[1])


def _reasons(left_out: Counter[str]) -> str:
    return (
        ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        or "none left out"
    )


def most_common_path(labels: Sequence[PathLabel], num_layers: int) -> LayerPath:
    """The path that is the label of most examples.

    Of equally common ones it is the shortest, then the one with the lowest decisions.
    """
    counts = Counter(label.decisions for label in labels)
    if not counts:
        return LayerPath.from_decisions((EXECUTE,) * num_layers)
    best = min(counts, key=lambda decisions: (-counts[decisions], sum(decisions), decisions))
    return LayerPath.from_decisions(best)
