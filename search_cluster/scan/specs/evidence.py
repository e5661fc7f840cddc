"""What a scan knows of a path, for cards and comments."""

from collections.abc import Iterator

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.left_out import left_out_line
from search_cluster.scan.result import ScanResult, Standing


def evidence_line(result: ScanResult, path: LayerPath) -> str:
    """What the scan says of a path, in one line."""
    known = [
        f"{split} {_gain(standing)} of {standing.num_questions} questions"
        for split, standing in _standings(result, path)
    ]
    of = f"of {result.num_candidates} paths that were tried on {', '.join(result.tasks)}"
    if not known:
        return f"Nothing was measured of it: it is none {of}."
    sure = "sure on test" if _is_choice(result, path) and result.sure else "not sure"
    return f"One {of}, {sure}; gains in points with 95 % intervals: {'; '.join(known)}."


def evidence_table(result: ScanResult, path: LayerPath) -> str:
    """What the scan says of a path, split by split, as Markdown."""
    rows = list(_standings(result, path))
    if not rows:
        return evidence_line(result, path)
    sure = (
        f"On `test` it is better than the plain model (aim: {result.aim}), at 95 % and for all "
        "paths reported there."
        if _is_choice(result, path) and result.sure
        else "The scan is **not sure** that it is better than the plain model."
    )
    uses = f"{result.test_uses} time{'s' * (result.test_uses != 1)}"
    return "\n".join(
        [
            f"{result.num_candidates} paths were tried on {_listed(result.tasks)}. {sure} Gains "
            "are in points of accuracy; intervals hold at 95 % for all paths compared at once. "
            "`train` chose the finalists and flatters them, `validation` chose among them, `test` "
            f"had no say; this run folder has looked at it {uses}.",
            "",
            "| questions of | number | paths compared | accuracy plain | accuracy | gain "
            "| adjusted p |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {name} | {row.num_questions} | {row.num_compared} | {row.plain_accuracy:.1%} | "
                f"{row.accuracy:.1%} | {_gain(row)} | {row.p_adjusted:.3g} |"
                for name, row in rows
            ),
            "",
            f"The best of the {result.chance_paths} that were asked all of the first "
            f"{result.chance_questions} questions would gain {100 * result.chance_best:+.1f} "
            "points by chance there; the smallest true gain "
            f"that `test` shows with 80 % power is {100 * result.smallest_gain:.1f} points.",
            *_left_out(result),
            *_cut_splits(result),
        ]
    )


def standing_of(result: ScanResult, path: LayerPath, split: str) -> Standing | None:
    """How a path stands on a split; ``None`` if it was not asked there."""
    return dict(_standings(result, path)).get(split)


def _standings(result: ScanResult, path: LayerPath) -> Iterator[tuple[str, Standing]]:
    candidate = next((item for item in result.candidates if item.path == str(path)), None)
    if candidate is not None:
        yield "train", candidate.train
    finalist = next((item for item in result.finalists if item.summary.path == str(path)), None)
    if finalist is None:
        return
    if finalist.validation is not None:
        yield "validation", finalist.validation
    if finalist.test is not None:
        yield "test", finalist.test
    for task, standing in finalist.test_by_task.items():
        yield f"test of {task}", standing
    for task, standing in finalist.guards.items():
        yield f"guard {task}", standing


def _left_out(result: ScanResult) -> Iterator[str]:
    if line := left_out_line(result.left_out):
        yield ""
        yield line


def _cut_splits(result: ScanResult) -> Iterator[str]:
    """Lines on splits that tasks do not have of their own."""
    for task, splits in sorted(result.made_splits.items()):
        if splits:
            yield ""
            yield f"`{task}` has no {' and no '.join(splits)} of its own: cut from train."


def _is_choice(result: ScanResult, path: LayerPath) -> bool:
    return result.chosen == str(path)


def _gain(standing: Standing) -> str:
    gain, low, high = (100 * value for value in (standing.gain, standing.low, standing.high))
    return f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
