"""A scan's result as plain lines, the most important one first."""

from collections.abc import Mapping
from typing import Any


def scan_text(figures: Mapping[str, Any]) -> str:
    """What ``scan`` says without ``--json``, of the same figures."""
    lines = [_first_line(figures)]
    if figures["gain_test"] is not None:
        lines.append(
            f"best finalist {figures['best_finalist']}: test {_points(figures['gain_test'])} "
            f"[{_points(figures['gain_low'])}, {_points(figures['gain_high'])}], "
            f"p {figures['p_adjusted']:.3g}"
        )
    lines += [
        f"the best of {figures['num_candidates']} by chance would show "
        f"{_points(figures['chance_best'])} on the questions of the first round; test shows gains "
        f"from {_points(figures['smallest_gain'])}",
        f"{figures['verdicts']} verdicts instead of {figures['exhaustive_verdicts']}, "
        f"{figures['seconds']:.0f} s; looks at test: {figures['test_uses']}",
    ]
    if figures["stopped_by"]:
        lines.append(f"the search was ended by --{figures['stopped_by']}")
    for item in figures["finalists"]:
        lines.append(
            f"  {item['path']} ({item['layers']} layers; {', '.join(item['edits']) or 'listed'}): "
            f"train {_points(item['gain_train'])}, shrunk {_points(item['shrunk'])}, validation "
            f"{_points(item['gain_validation'])}, test {_points(item['gain_test'])}"
        )
    return "\n".join(lines)


def _first_line(figures: Mapping[str, Any]) -> str:
    if not figures["sure"]:
        return (
            f"plain model: nothing is sure of {figures['num_candidates']} paths on "
            f"{figures['task']}"
        )
    return (
        f"{figures['path']}: {figures['layers']} of {figures['num_layers']} layers, "
        f"{_points(figures['gain_test'])} on {figures['task']}"
    )


def _points(gain: float | None) -> str:
    return "-" if gain is None else f"{100 * gain:+.1f}"
