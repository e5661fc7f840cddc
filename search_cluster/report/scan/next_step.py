"""What to do after a scan: export what is sure, or ask as many questions as it takes."""

from pathlib import Path
from shlex import quote

from search_cluster.hub_spec import is_hub_spec
from search_cluster.report.scan.words import points
from search_cluster.scan.result import Finalist, ScanResult, Standing


def next_step(result: ScanResult, folder: Path) -> str:
    """What to do now: a command, or what it would take to be sure.

    Args:
        result: what the scan found.
        folder: the run folder, for the command.
    """
    if result.sure:
        return f"search-cluster scan export {quote(str(folder))} --format hf --out MODEL_FOLDER"
    gain = _fresh_gain(result)
    if gain <= 0:
        return (
            "Fresh questions leave nothing of the best path: try larger blocks, more passes or "
            "another model; a router may still gain question by question."
        )
    num_questions = max(
        (item.num_questions for one in result.finalists for item in _fresh(one)), default=0
    )
    wanted = num_questions * (result.smallest_gain / gain) ** 2
    if wanted <= num_questions:
        return (
            f"{num_questions:,} questions would show the {points(gain)} points that fresh ones "
            "promise, and did not: scan again with another seed before you believe in them."
        )
    return (
        f"What fresh questions promise ({points(gain)} points) takes about {wanted:,.0f} of them "
        f"to be sure of; there were {num_questions:,}."
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


def _fresh(finalist: Finalist) -> list[Standing]:
    """What questions say of a finalist that did not choose it from all paths."""
    return [item for item in (finalist.validation, finalist.test) if item is not None]


def _fresh_gain(result: ScanResult) -> float:
    """The best finalist's gain on all its fresh questions; 0 without one."""
    standings = _fresh(result.finalists[0]) if result.finalists else []
    num_questions = sum(item.num_questions for item in standings)
    return (
        sum(item.gain * item.num_questions for item in standings) / num_questions
        if num_questions
        else 0.0
    )
