"""The tables of a scan as texts, for the page and for a terminal."""

from collections.abc import Sequence

from search_cluster.report.scan.front import costs_of, fresh_gains, on_front
from search_cluster.report.scan.words import edits_text, p_text, points, span
from search_cluster.scan.result import CandidateSummary, Rung, ScanResult

NUM_TOP = 12
"""Paths in the table of the best."""


def top_rows(
    candidates: Sequence[CandidateSummary], num_top: int = NUM_TOP
) -> list[dict[str, str]]:
    """The paths that the search thinks best, by shrunk worth."""
    best = sorted(candidates, key=lambda item: -item.shrunk)[:num_top]
    return [
        {
            "what": edits_text(item),
            "layers": str(item.layers),
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
            "layers": str(item.summary.layers),
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


def front_rows(result: ScanResult) -> list[dict[str, object]]:
    """What the plain model and each finalist cost, and on which fronts they are.

    ``costs`` has a text for each of `front_columns`, with a star if nothing beats the path at no
    higher cost, by validation.
    """
    costs = costs_of(result)
    gains = (*fresh_gains(result), 0.0)
    fronts = [on_front(gains, (*cost.of, cost.plain)) for cost in costs]
    names = [edits_text(item.summary) for item in result.finalists]
    numbers = [*(str(number) for number in range(1, len(names) + 1)), ""]
    rows = []
    for at, (number, name) in enumerate(zip(numbers, [*names, "plain model"], strict=True)):
        gain = gains[at]
        texts = []
        for cost, front in zip(costs, fronts, strict=True):
            value = (*cost.of, cost.plain)[at]
            unit = "" if cost.label == "layers" else " %"
            star = " *" if front[at] else ""
            texts.append("" if value is None else f"{value:.0f}{unit}{star}")
        rows.append(
            {
                "number": number,
                "what": name,
                "gain": "" if gain is None else points(gain),
                "costs": texts,
            }
        )
    return rows


def guard_rows(result: ScanResult) -> list[dict[str, str]]:
    """What finalists lose or gain on the guards."""
    return [
        {
            "number": str(number),
            "guard": name,
            "gain": points(standing.gain),
            "interval": span(standing),
            "p": p_text(standing.p_adjusted),
            "questions": f"{standing.num_questions:,}",
        }
        for number, item in enumerate(result.finalists, start=1)
        for name, standing in item.guards.items()
    ]


def provenance_rows(result: ScanResult) -> list[tuple[str, str]]:
    """Everything that the result depends on."""
    rows = [
        ("model", result.model),
        ("model fingerprint", result.model_fingerprint),
        ("layers", str(result.num_layers)),
        ("dtype", result.dtype),
        ("tasks", ", ".join(result.tasks)),
        ("guards", ", ".join(result.guards) or "none"),
        ("families", ", ".join(result.families)),
        ("layers in the largest block", str(result.max_block)),
        ("passes of a repeated block", str(result.passes)),
        ("edits in a path", str(result.grow)),
        ("aim", result.aim),
        ("seed", str(result.seed)),
        ("verdict context", result.verdict_context),
    ]
    rows += [(f"version of {name}", version) for name, version in sorted(result.versions.items())]
    return [*rows, ("digest", result.digest)]
