"""What a part finds: figures, figures that can't be had here, and rules that hold or do not.

A part writes into a `Sheet`, in a process of its own. Each entry goes to the `Report` of the
process that waits for it at once, so that a part that dies or runs out of time leaves what it had.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Figure = float | int | str | bool | None | dict[str, Any] | list[Any]
"""What JSON can say."""


ENDING_S = 3.0
"""What a part keeps for itself of the time it gives to other processes: they have to be ended, and
rules judged, before its own time is up."""


class Mark(StrEnum):
    """What comes out of a part."""

    PASS = "PASS"
    """At least one rule was judged, and all that were hold."""
    FAIL = "FAIL"
    """A rule does not hold, or the part broke off."""
    MEASURED = "MEASURED"
    """There are figures, and no rule could be judged here."""
    SKIPPED = "SKIPPED"
    """Something is missing that the part needs, such as a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A sentence that holds, does not hold, or can't be judged here."""

    rule: str
    holds: bool | None
    value: Figure = None
    why: str = ""
    """Why it can't be judged."""


@dataclass(slots=True, kw_only=True)
class Report:
    """All that came out of a part."""

    part: str
    about: str
    limit_s: float
    seconds: float = 0.0
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why figures that are ``None`` are."""
    rules: list[Rule] = field(default_factory=list)
    skipped: str = ""
    """Why the part did not run."""
    error: str = ""
    """How it broke off."""

    def take(self, kind: str, content: Any) -> None:
        """Note an entry of the part's `Sheet`."""
        if kind == "figure":
            name, value = content
            self.figures[name] = value
        elif kind == "missing":
            name, reason = content
            self.figures[name] = None
            self.missing[name] = reason
        elif kind == "rule":
            self.rules.append(content)
        else:
            assert kind == "error", f"a sheet has no entries of the kind {kind!r}"
            self.error = content

    @property
    def is_open(self) -> bool:
        """Whether it passes, and one of its rules could not be judged."""
        return self.mark is Mark.PASS and any(rule.holds is None for rule in self.rules)

    @property
    def mark(self) -> Mark:
        """What came out, in a word."""
        if self.error or any(rule.holds is False for rule in self.rules):
            return Mark.FAIL
        if self.skipped:
            return Mark.SKIPPED
        return Mark.PASS if any(rule.holds for rule in self.rules) else Mark.MEASURED

    def as_json(self) -> dict[str, Any]:
        """The part's line."""
        line: dict[str, Any] = {
            "part": self.part,
            "about": self.about,
            "mark": str(self.mark),
            "seconds": round(self.seconds, 2),
            "limit_s": self.limit_s,
            "rules": [_without_blanks(rule) for rule in self.rules],
            "figures": self.figures,
        }
        for name in ("missing", "skipped", "error"):
            if value := getattr(self, name):
                line[name] = value
        return line


def _without_blanks(rule: Rule) -> dict[str, Figure]:
    line: dict[str, Figure] = {"rule": rule.rule, "holds": rule.holds, "value": rule.value}
    return {**line, "why": rule.why} if rule.why else line


class Sheet:
    """What a part writes into while it runs.

    Args:
        limit_s: the time of the part, from now on.
        send: takes every entry.
    """

    def __init__(self, limit_s: float, send: Callable[[str, Any], None]) -> None:
        self._ends_s = time.monotonic() + limit_s
        self._send = send

    @property
    def left_s(self) -> float:
        """The seconds that the part has left; a measurement that would take longer is left out."""
        return self._ends_s - time.monotonic()

    @property
    def lent_s(self) -> float:
        """The seconds that a process may have which the part starts and waits for."""
        return self.left_s - ENDING_S

    def put(self, name: str, value: Figure) -> None:
        """Note a figure."""
        self._send("figure", (name, value))

    def lack(self, name: str, reason: str) -> None:
        """Note that a figure can't be had here."""
        self._send("missing", (name, reason))

    def judge(self, rule: str, value: Figure, holds: bool) -> None:
        """Note whether a rule holds."""
        self._send("rule", Rule(rule=rule, holds=holds, value=value))

    def leave(self, rule: str, why: str) -> None:
        """Note that a rule can't be judged here."""
        self._send("rule", Rule(rule=rule, holds=None, why=why))

    def fail(self, how: str) -> None:
        """Note how the part broke off."""
        self._send("error", how)
