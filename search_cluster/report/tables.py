"""The tables of the report, as texts that the page escapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_cluster.corpus.card import provenance_values
from search_cluster.corpus.manifest import Manifest
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.summary import CorpusSummary, num_searched
from search_cluster.report.costs import cost_rows
from search_cluster.report.router_evaluations import RouterEvaluation, router_effect

MAX_EXAMPLES = 50
"""The number of questions that the table of examples shows."""
MAX_TEXT = 600
"""The number of characters of a question or an answer that the table shows."""

RUN_LABELS = {
    "paths_searched": "paths searched (delivered to a tree)",
    "paths_evaluated": "paths evaluated on a device",
    "cache_hits": "answered by the cache",
    "device_seconds": "device seconds held",
    "paths_per_device_hour": "paths per device-hour",
    "failures": "paths without a verdict",
    "cut_answers": "answers cut by max_new_tokens, of those evaluated on a device",
}
"""The keys of the search's JSON summary that are throughput, with their labels, in the order of the
report."""


def headline_cards(
    summary: CorpusSummary, routers: Sequence[RouterEvaluation], run: Mapping[str, Any]
) -> list[dict[str, str]]:
    """A few numbers in large print."""
    num_asked = summary.examples
    plain = found = ""
    if num_asked:
        plain_interval = _interval(summary.identity_low, summary.identity_high)
        plain = f" ({plain_interval} on {num_asked:,} questions)"
        found = f" ({_interval(summary.found_low, summary.found_high)})"
    cards = [
        (f"plain model is right{plain}", _share(summary.identity_accuracy, num_asked)),
        (
            f"right with a found path, gold answer known{found}",
            _share(summary.found_accuracy, num_asked),
        ),
        (
            f"layers saved by {summary.num_best_right:,} right best paths",
            f"{summary.mean_layers_saved:.1f} of {summary.num_layers}"
            if summary.num_best_right
            else "none is right",
        ),
        ("paths searched", f"{num_searched(run, summary):,}"),
    ]
    cards += [
        (
            f"router {item.label}, {item.split} (plain {item.accuracy_plain:.1%}): "
            f"{router_effect(item)} on {item.n:,} questions",
            f"{item.accuracy_routed:.1%}",
        )
        for item in routers
    ]
    return [{"label": label, "value": value} for label, value in cards]


def headline_rows(
    summary: CorpusSummary, routers: Sequence[RouterEvaluation]
) -> list[dict[str, str]]:
    """Accuracies with intervals, and layers.

    They are those of the search, and of every router beside the plain model.
    """
    identity = (summary.identity_accuracy, summary.identity_low, summary.identity_high)
    found = (summary.found_accuracy, summary.found_low, summary.found_high)
    found_layers = f"{summary.mean_best_length:.1f}" if summary.best_lengths else ""
    rows = [
        _accuracy_row(
            "plain model on the searched questions",
            summary.examples,
            identity,
            f"{summary.num_layers}",
        ),
        _accuracy_row("found by search, gold answer known", summary.examples, found, found_layers),
    ]
    if summary.chance is not None:
        rows.append(
            _chance_row("uniform guesses, searched questions", summary.examples, summary.chance)
        )
    for item in routers:
        where = f"{item.split} questions of {item.task}"
        plain = (item.accuracy_plain, item.accuracy_plain_low, item.accuracy_plain_high)
        routed = (item.accuracy_routed, item.accuracy_routed_low, item.accuracy_routed_high)
        plain_row = _accuracy_row(f"plain model, {where}", item.n, plain, f"{item.layers_plain:g}")
        if plain_row not in rows:  # routers are usually compared on the same questions
            rows.append(plain_row)
            if item.chance is not None:
                rows.append(_chance_row(f"uniform guesses, {where}", item.n, item.chance))
        rows.append(
            _accuracy_row(
                f"router {item.label}, {where}", item.n, routed, f"{item.layers_routed:.1f}"
            )
        )
    return rows


def router_rows(routers: Sequence[RouterEvaluation]) -> list[dict[str, str]]:
    """Every router against the plain model on the same questions.

    Beneath stand the single path that it has to beat and the bound on it.
    """
    rows = []
    for item in routers:
        plain, where = item.accuracy_plain, f"{item.n:,} {item.split} questions of {item.task}"
        fixed = (
            ""
            if item.num_fixed is None or item.num_broken is None
            else f"{item.num_fixed} / {item.num_broken}"
        )
        rows.append(
            {
                "what": f"router {item.label}",
                "where": where,
                "right": f"{item.accuracy_routed:.1%}",
                "difference": _difference(
                    item.accuracy_routed - plain, item.diff_low, item.diff_high
                ),
                "fixed": fixed,
                "p": "" if item.p_value is None else f"{item.p_value:.2g}",
                "saved": _saved(item.layers_routed, item.layers_plain),
                "effect": router_effect(item),
            }
        )
        if (static := item.static) is not None:
            rows.append(
                {
                    "what": "one path for all",
                    "where": static.path,
                    "right": f"{static.accuracy:.1%}",
                    "difference": _difference(static.diff, static.diff_low, static.diff_high),
                    "fixed": "",
                    "p": f"{static.p_value:.2g}",
                    "saved": _saved(static.layers, item.layers_plain),
                    "effect": static.effect or "",
                }
            )
        if (oracle := item.oracle) is not None:
            rows.append(
                {
                    "what": "bound, gold answers known",
                    "where": f"the shortest right one of {oracle.num_paths} paths",
                    "right": f"{oracle.accuracy:.1%}",
                    "difference": _difference(oracle.accuracy - plain, None, None),
                    "fixed": "",
                    "p": "",
                    "saved": _saved(oracle.layers, item.layers_plain),
                    "effect": "",
                }
            )
    return rows


def _difference(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:  # no width, but too few questions
        return f"{100 * value:+.1f}"
    interval = f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * value:+.1f}{interval}"


def _saved(layers: float, layers_plain: float) -> str:
    return f"{1 - layers / layers_plain:.1%}"


def search_rows(summary: CorpusSummary, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the search cost and why it stopped."""
    numbers: dict[str, Any] = {
        "paths_searched": summary.paths_searched,
        "failures": summary.failures,
    }
    numbers |= {key: value for key, value in run.items() if isinstance(value, int | float)}
    numbers["paths_searched"] = num_searched(run, summary)
    rows = [
        (label, f"{round(numbers[key], 1):,}")
        for key, label in RUN_LABELS.items()
        if key in numbers
    ]
    reasons = ", ".join(f"{reason}: {count}" for reason, count in summary.stop_reasons)
    rows += cost_rows(run)
    return [*rows, ("why searches stopped, in questions", reasons or "none ran")]


def example_rows(records: Sequence[ExampleRecord]) -> list[dict[str, str]]:
    """Up to `MAX_EXAMPLES` questions.

    Those that a path fixed come first, then those with another best path, then the rest.
    """
    return [_example_row(record) for record in sorted(records, key=_interest)[:MAX_EXAMPLES]]


def provenance_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """Everything that the records depend on."""
    rows = [*provenance_values(manifest.provenance), ("corpus digest", manifest.corpus_digest)]
    return [(name.replace("_", " "), value) for name, value in rows]


def _accuracy_row(
    what: str, n: int, accuracy: tuple[float, float, float], layers: str
) -> dict[str, str]:
    value, low, high = accuracy
    return {
        "what": what,
        "n": f"{n:,}",
        "accuracy": _share(value, n),
        "interval": _interval(low, high) if n else "",
        "layers": layers,
    }


def _chance_row(what: str, n: int, chance: float) -> dict[str, str]:
    return {"what": what, "n": f"{n:,}", "accuracy": f"{chance:.1%}", "interval": "", "layers": ""}


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {high:.1%}"


def _share(value: float, n: int) -> str:
    """A share of so many questions; there is none of no question."""
    return f"{value:.1%}" if n else "none asked"


def _interest(record: ExampleRecord) -> int:
    if not record.best or record.best[0].path.is_identity:
        return 2
    return 1 if record.identity is not None and record.identity.is_correct else 0


def _example_row(record: ExampleRecord) -> dict[str, str]:
    best = record.best[0] if record.best else None
    identity_right = record.identity is not None and record.identity.is_correct
    return {
        "question": _cut(record.example.question),
        "gold": _cut(record.example.gold),
        "identity": "no verdict" if record.identity is None else _cut(record.identity.output),
        "identity_class": "right" if identity_right else "wrong",
        "path": "none is right" if best is None else str(best.path),
        "layers": "" if best is None else f"{len(best.path)} layers",
        "output": "" if best is None else _cut(best.verdict.output),
        "output_class": "right" if best is not None and best.verdict.is_correct else "wrong",
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} ..."
