"""Figures of a depth study as text, with their intervals and what they are of."""

from search_cluster.depth.resamples import Curve, Measured

SURE, UNSURE = "sure", "can't tell"


def number(
    measured: Measured, *, percent: bool = False, sign: bool = False, digits: int = 2
) -> str:
    """A figure with its interval.

    Args:
        measured: the figure.
        percent: as a percentage, to a tenth.
        sign: with a sign.
        digits: behind the point, if it is no percentage.
    """
    if measured.value is None:
        return "nothing to count"
    factor, unit = (100, " %") if percent else (1, "")
    plus = "+" if sign else ""
    ends = [measured.value, measured.low, measured.high]
    value, low, high = (
        "?" if item is None else format(factor * item, f"{plus}.{1 if percent else digits}f")
        for item in ends
    )
    return f"{value}{unit} ({low} to {high})"


def sized(measured: Measured) -> str:
    """What a figure of positions is of."""
    return f"n = {measured.n:,}, {measured.prompts:,} prompts"


def counts(measured: Measured, what: str = "") -> str:
    """What a figure of questions or answers is of; their facts, where some share one.

    Args:
        measured: the figure.
        what: what is counted, in words; empty: it was said before.
    """
    facts = f", {measured.prompts:,} facts" if measured.prompts < measured.n else ""
    return f"n = {measured.n:,}{' ' if what else ''}{what}{facts}"


def verdict_of(measured: Measured) -> str:
    """Whether its interval excludes 0."""
    return SURE if measured.excludes_zero else UNSURE


def point(curve: Curve, depth: int) -> Measured:
    """A curve's figure at one depth; -1 is the last."""
    return Measured(
        value=curve.value[depth],
        low=curve.low[depth],
        high=curve.high[depth],
        n=curve.n[depth],
        prompts=curve.prompts,
    )
