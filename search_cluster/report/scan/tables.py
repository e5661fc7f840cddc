"""The tables of a scan as texts, for the page and for a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from search_cluster.report.scan.front import Cost, costs_of, fresh_gains, on_front
from search_cluster.report.scan.words import (
    edits_text,
    facts_text,
    number_of_layers,
    p_text,
    points,
    span,
)
from search_cluster.scan.result import CandidateSummary, Rung, ScanResult

FOUND_FIELDS = (
    "schema", "rungs", "candidates", "finalists", "chosen", "sure", "chance_best", "chance_paths",
    "chance_questions", "smallest_gain", "num_candidates", "verdicts", "exhaustive_verdicts",
    "test_uses", "plain_is_guessing", "left_out",
)  # fmt: skip
"""Fields of a result that say what was found, and not on what it depends."""
NUM_TOP = 12
"""Paths in the table of the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontRow:
    """What one path gains and costs."""

    number: str
    """The finalist's number; empty for the plain model."""
    what: str
    """Its edits."""
    gain: str
    """In points, on validation."""
    costs: tuple[str, ...]
    """A text for each of `front_columns`, with a star where nothing gains as much for less."""


def top_rows(
    candidates: Sequence[CandidateSummary], num_top: int = NUM_TOP
) -> list[dict[str, str]]:
    """The paths that the search thinks best, by shrunk worth."""
    best = sorted(candidates, key=lambda item: -item.shrunk)[:num_top]
    return [
        {
            "what": edits_text(item),
            "layers": number_of_layers(item.layers),
            "shrunk": points(item.shrunk),
            "gain": points(item.train.gain),
            "interval": span(item.train),
            "p": p_text(item.train.p_adjusted),
            "questions": f"{item.train.num_questions:,}",
        }
        for item in best
    ]


def rung_rows(rungs: Sequence[Rung]) -> list[dict[str, str]]:
    """The race, round by round."""
    return [
        {
            "step": "single edits" if rung.step == 0 else f"growth {rung.step}",
            "questions": f"{rung.num_questions:,}",
            "paths": f"{rung.num_paths:,}",
            "wrecks": f"{rung.num_wrecks:,}",
            "kept": f"{rung.num_kept:,}",
        }
        for rung in rungs
    ]


def finalist_rows(result: ScanResult) -> list[dict[str, str]]:
    """What each split says of each finalist."""
    return [
        {
            "number": str(number),
            "what": edits_text(item.summary),
            "layers": number_of_layers(item.summary.layers),
            "train": points(item.summary.train.gain),
            "shrunk": points(item.summary.shrunk),
            "validation": "" if item.validation is None else points(item.validation.gain),
            "validation_interval": "" if item.validation is None else span(item.validation),
            "test": "" if item.test is None else points(item.test.gain),
            "test_interval": "" if item.test is None else span(item.test),
            "p": "" if item.test is None else p_text(item.test.p_adjusted),
        }
        for number, item in enumerate(result.finalists, start=1)
    ]


def front_columns(result: ScanResult) -> list[str]:
    """What the costs of `front_rows` are called."""
    return [cost.label for cost in costs_of(result)]


def front_rows(result: ScanResult) -> list[FrontRow]:
    """What each finalist and the plain model cost, and on which fronts they are, by validation."""
    costs = costs_of(result)
    gains = (*fresh_gains(result), 0.0)
    fronts = [on_front(gains, (*cost.of, cost.plain)) for cost in costs]
    names = [*(edits_text(item.summary) for item in result.finalists), "plain model"]
    return [
        FrontRow(
            number=str(at + 1) if at < len(result.finalists) else "",
            what=name,
            gain="" if gain is None else points(gain),
            costs=tuple(
                _cost_text(cost, (*cost.of, cost.plain)[at], front[at])
                for cost, front in zip(costs, fronts, strict=True)
            ),
        )
        for at, (name, gain) in enumerate(zip(names, gains, strict=True))
    ]


def _cost_text(cost: Cost, value: float | None, is_best: bool) -> str:
    if value is None:
        return ""
    number = f"{value:.0f}" if cost.unit else number_of_layers(value)
    return f"{number}{cost.unit}{' *' if is_best else ''}"


def guard_rows(result: ScanResult) -> list[dict[str, str]]:
    """What finalists lose or gain on the guards."""
    return [
        {
            "number": str(number),
            "guard": name,
            "gain": points(standing.gain),
            "interval": span(standing),
            "p": p_text(standing.p_adjusted),
            "questions": f"{standing.num_questions:,}{facts_text(standing)}",
        }
        for number, item in enumerate(result.finalists, start=1)
        for name, standing in item.guards.items()
    ]


def provenance_rows(result: ScanResult) -> list[tuple[str, str]]:
    """Everything that the result depends on, in the order of the file."""
    rows = []
    for item in fields(ScanResult):
        value = getattr(result, item.name)
        if item.name not in FOUND_FIELDS and value not in (None, "", (), {}):
            rows.append((item.name.replace("_", " "), _said(value)))
    return rows


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_said(part)}" for key, part in sorted(value.items()))
    return str(value)
