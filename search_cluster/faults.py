"""Whether many failures are one fault, and telling each fault once. Pure, but for the log.

A bad example fails alone and never stops a run. A template that raises, a device that is gone or a
grader with a bug fails everywhere: then a corpus of failures is worth nothing, and one line is what
helps.
"""

import logging
import re
import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search_cluster import errors
from search_cluster.errors import EvaluatorError, OneFaultError

FIRST = 16
"""How many examples, from the first one on, fail for one reason if a run has one fault; all, if
there are fewer. Examples come in a random order, so that they stand for the others."""
STREAK = 32
"""How many examples in a row, wherever they stand, fail in one way if something broke during the
run. Only errors from outside this project count: its own are about the example."""
OWN_KINDS = frozenset(name for name, value in vars(errors).items() if isinstance(value, type))
MIN_OWN_TEXT = 3
"""The shortest text of an example that is looked for in a message; shorter ones are words of it."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an example failed."""

    kind: str
    """The error's class name."""
    message: str
    texts: tuple[str, ...] = ()
    """Texts of the example, which make no difference between two causes."""

    @property
    def reason(self) -> tuple[str, str]:
        """Equal for causes that differ in numbers, in quoted texts and in the example's own."""
        text = self.message
        for own in sorted(self.texts, key=len, reverse=True):
            if len(own) >= MIN_OWN_TEXT and own in text:
                text = re.sub(rf"(?<!\w){re.escape(own)}(?!\w)", "*", text)
        text = _NUMBERS.sub("#", _QUOTED.sub("*", text))
        return self.kind, " ".join(text.split())

    @property
    def is_ours(self) -> bool:
        """Whether it is an error of this project, which is about the example or the path."""
        return self.kind in OWN_KINDS

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.message.split())}".removesuffix(": ")


class FaultWatch:
    """Is told how each example began, in whatever order, and raises if all of it is one fault.

    It also says which failures are certainly not: as long as they may be, nobody should keep them,
    for a run that goes on later would take them for final.

    Args:
        keys: the examples, in the order in which they are started.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._places = {key: place for place, key in enumerate(self._keys)}
        self._known: dict[int, tuple[Cause, tuple[str, str]] | None] = {}
        """By place: the cause and its reason; ``None`` for an example that did not fail."""
        self._held: set[int] = set()

    def take(self, key: str, cause: Cause | None) -> list[str]:
        """Note that an example failed at once, or (``None``) that it did not.

        Returns:
            Failed examples that are no part of one fault.

        Raises:
            OneFaultError: the examples fail for one reason.
        """
        place = self._places[key]
        if cause is None:
            self._known[place] = None
            return [*self._released(place - 1), *self._released(place + 1)]
        self._known[place] = (cause, cause.reason)
        self._held.add(place)
        self._require_sound_start()
        self._require_sound_run(place)
        return self._released(place)

    def end(self) -> None:
        """Note that no more examples come than those that there were, which are the first ones.

        Raises:
            OneFaultError: all of them failed for one reason.
        """
        del self._keys[len(self._known) :]
        if self._keys:
            self._require_sound_start()

    def _require_sound_start(self) -> None:
        first = [self._known.get(at) for at in range(min(FIRST, len(self._keys)))]
        reasons = {None if item is None else item[1] for item in first}
        if len(reasons) == 1 and first[0] is not None:
            which = "all" if len(first) == len(self._keys) else "the first"
            examples = (
                f"{which} {len(first)} examples" if len(self._keys) > 1 else "the one example"
            )
            raise OneFaultError(self._line(examples, first[0][0]))

    def _require_sound_run(self, place: int) -> None:
        run = self._run(place)
        item = self._known[place]
        assert item is not None, "only failures are looked at"
        if len(run) >= STREAK and not item[0].is_ours:
            raise OneFaultError(self._line(f"{len(run)} examples in a row", item[0]))

    def _line(self, which: str, cause: Cause) -> str:
        return (
            f"{which} failed for one reason: {cause}. Failures are not kept, and nothing found "
            "before is lost: mend the cause, then run the same command again"
        )

    def _run(self, place: int) -> range:
        """The neighbours of a failure that failed in the same way, and itself; else nothing."""
        kind = self._kind(place)
        if kind is None:
            return range(0)
        low = high = place
        while self._kind(low - 1) == kind:
            low -= 1
        while self._kind(high + 1) == kind:
            high += 1
        return range(low, high + 1)

    def _kind(self, place: int) -> str | None:
        item = self._known.get(place)
        return None if item is None else item[0].kind

    def _released(self, place: int) -> list[str]:
        """The failures of a run that can't grow any more."""
        run = self._run(place)
        for beside in (run.start - 1, run.stop):
            if 0 <= beside < len(self._keys) and beside not in self._known:
                return []
        released = [at for at in run if at in self._held]
        self._held.difference_update(released)
        return [self._keys[at] for at in released]


def failed_evaluation(example_id: str, path: str, error: Exception) -> EvaluatorError:
    """What to raise where an evaluation fails by code that is not ours, and nothing can go on."""
    cause = Cause(kind=type(error).__name__, message=str(error))
    return EvaluatorError(
        f"example {example_id} can't be evaluated along path {path}: {cause}; if the task's code "
        "raises that, mend it, then run the same command again"
    )


def counted(causes: Iterable[Cause]) -> list[tuple[Cause, int]]:
    """Each cause once (the first of equals), and how often it came, the most frequent first."""
    first: dict[tuple[str, str], Cause] = {}
    counts = Counter[tuple[str, str]]()
    for cause in causes:
        first.setdefault(cause.reason, cause)
        counts[cause.reason] += 1
    return [(first[reason], count) for reason, count in counts.most_common()]


class FailureLog:
    """Tells each fault once, with its traceback, and counts it afterwards. Threads may share it.

    Two errors are one fault if they are of one class, and come from one line of code or say the
    same: a device that is gone shows anywhere.

    Args:
        logger: where it is told.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._counts = Counter[int]()
        self._faults: dict[tuple[str, str], int] = {}
        """The number of each fault, by class and place and by class and text."""
        self._lock = threading.Lock()

    def add(self, what: str, error: BaseException) -> None:
        """Tell that something failed, or count it: the 10th, the 100th, ... is told again."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
        cause = Cause(kind=type(error).__name__, message=str(error))
        with self._lock:
            signs = ((cause.kind, place), cause.reason)
            known = [self._faults[sign] for sign in signs if sign in self._faults]
            fault = known[0] if known else len(self._faults)
            self._faults |= dict.fromkeys(signs, fault)
            self._counts[fault] += 1
            count = self._counts[fault]
        if count == 1:
            self._logger.error(
                "%s: %s; further failures of this kind are counted", what, cause, exc_info=error
            )
        elif str(count).strip("0") == "1":
            self._logger.error("%s: %s; the %dth failure of this kind", what, cause, count)
