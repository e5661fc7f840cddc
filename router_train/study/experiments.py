"""What the study compares: a list of experiments for each kept corpus. Pure.

They vary router, kind of labels and size of the corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from router_train.config import (
    AIM_ACCURACY,
    BALANCE_INVERSE,
    LABELS_BEST,
    LABELS_UNGUARDED,
    LOSS_VERDICT,
    FitConfig,
)
from search_cluster.options.fields import flag_of

SIZES = (250, 500, 1000)
"""The numbers of training questions that are tried beside all of the corpus."""
ALL = "all"
"""The size's name where all questions of the corpus may teach."""
LABEL_WORDS = {LABELS_BEST: "verified", LABELS_UNGUARDED: "unverified"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One row of the study's table."""

    corpus: str
    """The name of the kept corpus."""
    name: str
    """The experiment's name, unique in the corpus; it is a folder's name, too."""
    config: FitConfig
    table: bool = True
    """Whether the router may see the path table. If not, it learns from the best paths alone."""
    oracle: bool = False
    """Whether to report somebody who knows the answers and chooses from the menu, in place of the
    router."""

    @property
    def full_name(self) -> str:
        """The corpus and the name."""
        return f"{self.corpus}/{self.name}"

    @property
    def size(self) -> str:
        """The largest number of training questions, as text."""
        return ALL if self.config.train_limit is None else str(self.config.train_limit)


def plan(corpus: str, *, num_examples: int, table: bool, evidence: bool) -> tuple[Experiment, ...]:
    """The experiments of one kept corpus; those that cost little and tell much come first.

    Args:
        corpus: the name of the corpus.
        num_examples: its number of examples; sizes that are not below it are left out.
        table: whether it has a path table.
        evidence: whether its best paths are verified; otherwise there is one kind of labels.
    """
    sizes = (None, *(size for size in reversed(SIZES) if size < num_examples))
    kinds = (LABELS_BEST, LABELS_UNGUARDED) if evidence else (LABELS_UNGUARDED,)
    found = list(_fixed(corpus, kinds, table))
    for size in sizes:
        found += _of_size(corpus, size, kinds, table)
    return tuple(found)


def _fixed(corpus: str, kinds: tuple[str, ...], table: bool) -> Iterator[Experiment]:
    """The rows that do not vary with the corpus' size."""
    identity = FitConfig(router="identity")
    yield Experiment(corpus=corpus, name="identity", config=identity)
    if table:
        yield Experiment(corpus=corpus, name="oracle", config=identity, oracle=True)
        for router in ("static", "menu"):
            accuracy = FitConfig(router=router, aim=AIM_ACCURACY)
            yield Experiment(corpus=corpus, name=f"{router}-accuracy-{ALL}", config=accuracy)
            trusting = FitConfig(router=router, floor_errors=0.0)
            yield Experiment(corpus=corpus, name=f"{router}-no-floor-error-{ALL}", config=trusting)
            sure = FitConfig(router=router, max_drop=1.0, floor_errors=1.96)
            yield Experiment(corpus=corpus, name=f"{router}-sure-{ALL}", config=sure)
        verdicts = FitConfig(router="menu", loss=LOSS_VERDICT)
        yield Experiment(corpus=corpus, name=f"menu-verdicts-{ALL}", config=verdicts)
    for labels in kinds:
        common = FitConfig(router="static", labels=labels)
        yield Experiment(
            corpus=corpus,
            name=f"most-common-label-{LABEL_WORDS[labels]}",
            config=common,
            table=False,
        )


def _of_size(
    corpus: str, size: int | None, kinds: tuple[str, ...], table: bool
) -> Iterator[Experiment]:
    word = ALL if size is None else str(size)
    if table:
        for router in ("static", "menu"):
            config = FitConfig(router=router, train_limit=size)
            yield Experiment(corpus=corpus, name=f"{router}-{word}", config=config)
    for labels in kinds:
        verified = LABEL_WORDS[labels]
        polar = FitConfig(router="polar", labels=labels, train_limit=size)
        yield Experiment(corpus=corpus, name=f"polar-{verified}-{word}", config=polar)
        published = FitConfig(router="drllm", labels=labels, train_limit=size)
        yield Experiment(corpus=corpus, name=f"drllm-{verified}-{word}", config=published)
        balanced = FitConfig(
            router="drllm", labels=labels, train_limit=size, class_balance=BALANCE_INVERSE
        )
        yield Experiment(corpus=corpus, name=f"drllm-balanced-{verified}-{word}", config=balanced)
    early = FitConfig(router="early-exit", train_limit=size)
    yield Experiment(corpus=corpus, name=f"early-exit-{word}", config=early)


def options(config: FitConfig) -> tuple[str, ...]:
    """The options with which ``router-train fit`` gets these settings.

    They are those settings that are not its defaults.
    """
    default = FitConfig()
    changed = [
        item
        for item in fields(FitConfig)
        if getattr(config, item.name) != getattr(default, item.name)
    ]
    return tuple(
        part
        for item in changed
        for part in (flag_of(item), f"{getattr(config, item.name):{_form(config, item.name)}}")
    )


def _form(config: FitConfig, name: str) -> str:
    return "g" if isinstance(getattr(config, name), float) else ""
