"""The cards of the finalists: what each split says of a path, side by side."""

from dataclasses import dataclass

from search_cluster.report.scan.words import (
    change_text,
    edits_text,
    facts_text,
    kind_of,
    layers_text,
    p_text,
    points,
    span,
)
from search_cluster.scan.result import Finalist, ScanResult, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An interval on the scale that a card's rows share, in percent of its width."""

    low: float
    """The interval's left end."""
    high: float
    """Its right end."""
    gain: float
    """The gain."""
    zero: float
    """No gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRow:
    """What some questions say of a path."""

    what: str
    """Which questions."""
    note: str
    """How many, and how far they can be trusted."""
    right: str
    """Accuracies of the plain model and of the path."""
    gain: str
    """Their difference in points."""
    interval: str
    """Its simultaneous interval."""
    p: str
    """The adjusted p-value."""
    kind: str
    """``right`` or ``wrong`` if the interval says so."""
    whisker: Whisker | None
    """The interval as a picture; ``None`` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistCard:
    """A finalist, ready to show."""

    number: int
    """Its number, as in the front."""
    title: str
    """Its edits in words."""
    path: str
    """The path."""
    is_chosen: bool
    """Whether it is the path that is reported."""
    saves: tuple[str, ...]
    """What it saves or costs: layers, and time where it was measured."""
    rows: tuple[CardRow, ...]
    """Train, shrunk, validation, test, and the tasks of test."""
    guards: tuple[CardRow, ...]
    """The tasks on which it must not lose."""


def finalist_cards(result: ScanResult) -> tuple[FinalistCard, ...]:
    """A card for each finalist, the best first."""
    return tuple(
        _card(item, number, result) for number, item in enumerate(result.finalists, start=1)
    )


def _card(finalist: Finalist, number: int, result: ScanResult) -> FinalistCard:
    summary = finalist.summary
    reach = _reach(finalist)
    uses = result.test_uses
    rows = [
        _row("train", "chosen on it: flattered", summary.train, reach),
        CardRow(
            what="shrunk",
            note="the search's own guess: mean worth of margins, pulled towards what such paths "
            "are usually worth",
            right="",
            gain=points(summary.shrunk),
            interval="",
            p="",
            kind="",
            whisker=None,
        ),
    ]
    for what, standing, note in (
        ("validation", finalist.validation, "the finalists were ranked on it"),
        ("test", finalist.test, "fresh" if uses <= 1 else f"looked at {uses} times"),
    ):
        if standing is not None:
            rows.append(_row(what, note, standing, reach))
    rows += [
        _row(f"test of {task}", "", standing, reach)
        for task, standing in finalist.test_by_task.items()
    ]
    return FinalistCard(
        number=number,
        title=edits_text(summary),
        path=summary.path,
        is_chosen=summary.path == result.chosen and result.sure,
        saves=(
            f"{layers_text(summary.layers, result.num_layers)} layers",
            change_text(summary.layers, result.num_layers),
            *(
                f"{_time_text(timing.seconds, timing.plain_seconds)} at batch {timing.batch}"
                for timing in finalist.timings
            ),
        ),
        rows=tuple(rows),
        guards=tuple(_row(name, "", item, reach) for name, item in finalist.guards.items()),
    )


def _time_text(seconds: float, plain_seconds: float) -> str:
    share = seconds / plain_seconds - 1
    word = "less" if share < 0 else "more"
    return f"{abs(share):.0%} {word} time"


def _row(what: str, note: str, standing: Standing, reach: float) -> CardRow:
    compared = f"{standing.num_compared:,} path{'s' if standing.num_compared != 1 else ''} compared"
    counted = f"{standing.num_questions:,} questions{facts_text(standing)}, {compared}"
    return CardRow(
        what=what,
        note=f"{counted}; {note}" if note else counted,
        right=f"{100 * standing.plain_accuracy:.1f} → {100 * standing.accuracy:.1f} %",
        gain=points(standing.gain),
        interval=span(standing),
        p=p_text(standing.p_adjusted),
        kind=kind_of(standing),
        whisker=_whisker(standing, reach),
    )


def _whisker(standing: Standing, reach: float) -> Whisker:
    def place(gain: float) -> float:
        return round(min(100.0, max(0.0, 50 + 50 * gain / reach)), 2)

    return Whisker(
        low=place(standing.low),
        high=place(standing.high),
        gain=place(standing.gain),
        zero=place(0.0),
    )


def _reach(finalist: Finalist) -> float:
    """The largest gain or loss on the scale of a card, so that every interval fits."""
    standings = [finalist.summary.train, *finalist.test_by_task.values(), *finalist.guards.values()]
    standings += [item for item in (finalist.validation, finalist.test) if item is not None]
    return 1.05 * max(0.01, *(abs(end) for item in standings for end in (item.low, item.high)))
