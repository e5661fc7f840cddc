"""What to do after a scan: export what is sure, or ask as many questions as it takes."""

import math
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from search_cluster.hub_spec import is_hub_spec
from search_cluster.report.scan.words import edits_text, layers_text, points
from search_cluster.scan.racing.choice import lost_tasks
from search_cluster.scan.result import Finalist, ScanResult, Standing
from search_cluster.scan.settings import Aim
from search_cluster.stats import TOLERATED_LOSS

GUESSING = "the plain model can't be told from guesses"
"""What is said where it can't do the task, so that there is no accuracy to keep."""
_TOLERATED = f"{100 * TOLERATED_LOSS:g} point"
_SEEK_GAINS = "try larger blocks, more passes or another model; a router may still gain"
_NOTHING_LEFT = {
    Aim.ACCURACY.value: f"nothing of the best path: {_SEEK_GAINS}",
    Aim.LAYERS.value: (
        f"no shorter path that loses no more than {_TOLERATED}: try a list of other paths, or "
        "another model; a router may still save layers"
    ),
    Aim.FRONT.value: (
        f"neither a gain nor a shorter path that loses no more than {_TOLERATED}: {_SEEK_GAINS}"
    ),
}


def next_step(result: ScanResult, folder: Path) -> str:
    """What to do now: a command, or what it would take to be sure.

    Args:
        result: what the scan found.
        folder: the run folder, for the command.
    """
    if result.sure:
        return f"search-cluster scan export {quote(str(folder))} --format hf --out MODEL_FOLDER"
    if result.plain_is_guessing and result.aim == Aim.LAYERS:
        return (
            f"On this task {GUESSING}, so that no shorter path can be sure, however many questions "
            "are asked: scan a task that it can do, or look for right answers with --aim accuracy."
        )
    advice = _advice(result)
    if result.plain_is_guessing:
        return f"On this task {GUESSING}: one that it can do says more. {advice}"
    return advice


def _advice(result: ScanResult) -> str:
    hope = min(
        _hopes(result),
        key=lambda item: (bool(item.lost_tasks), item.num_wanted(result)),
        default=None,
    )
    if not result.finalists and result.stopped_by:
        return (
            f"The limit of {result.stopped_by} ended the search before any path had met enough "
            f"questions: run it again with a larger --{result.stopped_by}, which asks nothing "
            "twice."
        )
    if hope is None or hope.distance <= 0:
        return f"Fresh questions leave {_NOTHING_LEFT[result.aim]} question by question."
    if lost := hope.lost_tasks:
        return (
            f"Test says that {edits_text(hope.finalist.summary)} loses on {', '.join(lost)}, and a "
            "path may lose none of several tasks: scan each of them alone, or ask more questions."
        )
    wanted = hope.num_wanted(result)
    if wanted <= hope.num_questions:
        return (
            f"{hope.num_questions:,} questions would show what fresh ones promise "
            f"({hope.promise(result)}), and did not: scan again with another seed before you "
            "believe in it."
        )
    return (
        f"What fresh questions promise ({hope.promise(result)}) takes about {wanted:,.0f} of them "
        f"to be sure of; there were {hope.num_questions:,}."
    )


def static_router(folder: Path) -> Path:
    """Where the printed commands put the router of a scan's path."""
    return folder / "routers" / "static"


def next_commands(result: ScanResult, folder: Path, *, has_router: bool) -> tuple[str, ...]:
    """Commands that go on from a finished scan, which run as they are.

    Args:
        result: what the scan found.
        folder: the run folder, for the commands.
        has_router: whether there is a router in `static_router`.
    """
    run = quote(str(folder))
    watch = f"search-cluster dashboard {run}"
    if not result.finalists:
        return (watch,)
    which = "" if result.sure else " --best"
    own = Path() if is_hub_spec(folder) else folder
    router, exported = quote(str(static_router(own))), quote(str(own / "exported"))
    return (
        f'router-train generate --router {router} --prompt "What is DNA?" --compare'
        if has_router
        else f"router-train static {run}{which} --out {router}",
        f"search-cluster scan export {run}{which} --format hf --out {exported}",
        watch,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hope:
    """A finalist that more questions may make sure."""

    finalist: Finalist
    ruled_out: float
    """The gain that test has to rule out for that."""

    @property
    def _fresh(self) -> list[Standing]:
        """What questions say that did not choose it from all paths."""
        finalist = self.finalist
        return [item for item in (finalist.validation, finalist.test) if item is not None]

    @property
    def lost_tasks(self) -> list[str]:
        """Tasks on which test says that it loses."""
        return lost_tasks(self.finalist.test_by_task)

    @property
    def num_questions(self) -> int:
        """Those of the last look."""
        return self._fresh[-1].num_questions if self._fresh else 0

    @property
    def gain(self) -> float:
        """On all fresh questions; 0 without one."""
        num_questions = sum(item.num_questions for item in self._fresh)
        return (
            sum(item.gain * item.num_questions for item in self._fresh) / num_questions
            if num_questions
            else 0.0
        )

    @property
    def distance(self) -> float:
        """How far that is from what has to be ruled out."""
        return self.gain - self.ruled_out

    def num_wanted(self, result: ScanResult) -> float:
        """The questions that show such a distance, if those of test show the smallest gain."""
        if self.distance <= 0:
            return math.inf
        on_test = (item.test.num_questions for item in result.finalists if item.test is not None)
        return next(on_test, self.num_questions) * (result.smallest_gain / self.distance) ** 2

    def promise(self, result: ScanResult) -> str:
        """What it is hoped for, in words."""
        if not self.ruled_out:
            return f"{points(self.gain)} points"
        summary = self.finalist.summary
        return (
            f"{edits_text(summary)} with {layers_text(summary.layers, result.num_layers)} layers "
            f"loses no more than {_TOLERATED}: {points(self.gain)} points so far"
        )


def _hopes(result: ScanResult) -> list[_Hope]:
    """Who is the next to be sure of, by each rule of the aim (`racing.choice.is_sure`)."""
    hopes = []
    if result.aim != Aim.LAYERS:
        hopes += [_Hope(finalist=item, ruled_out=0.0) for item in result.finalists[:1]]
    if result.aim != Aim.ACCURACY and not result.plain_is_guessing:
        shorter = [item for item in result.finalists if item.summary.layers < result.num_layers]
        hopes += [_Hope(finalist=item, ruled_out=-TOLERATED_LOSS) for item in shorter[:1]]
    return hopes
