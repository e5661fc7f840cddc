"""Results of scans written by hand, for what reads them."""

from collections.abc import Sequence
from pathlib import Path

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.result import (
    CandidateSummary,
    Finalist,
    Rung,
    ScanResult,
    Standing,
)
from search_cluster.scan.result_file import write_result


def standing(gain: float, num_questions: int, *, num_compared: int = 3) -> Standing:
    """A gain with an interval of 2 points to each side, over a plain model at 40 %."""
    return Standing(
        num_questions=num_questions,
        num_compared=num_compared,
        accuracy=0.4 + gain,
        plain_accuracy=0.4,
        gain=gain,
        low=gain - 0.02,
        high=gain + 0.02,
        p_adjusted=0.01,
    )


def candidate(path: LayerPath, gain: float = 0.08) -> CandidateSummary:
    """What a search said of a path."""
    return CandidateSummary(
        path=str(path),
        layers=len(path),
        edits=(),
        step=0,
        train=standing(gain, 500, num_compared=929),
        worth=gain,
        shrunk=gain / 2,
    )


def finalist(path: LayerPath, gain: float = 0.05) -> Finalist:
    """A path that validation and test looked at."""
    return Finalist(
        summary=candidate(path),
        validation=standing(gain + 0.01, 1000),
        test=standing(gain, 2000),
        guards={"mmlu": standing(-0.01, 300)},
    )


def scan_result(
    finalists: Sequence[LayerPath],
    *,
    sure: bool = True,
    model: str = "tiny",
    fingerprint: str = "f" * 32,
    num_layers: int = 6,
    others: Sequence[LayerPath] = (),
    tasks: tuple[str, ...] = ("arc_easy", "elements"),
    chat: str = "",
) -> ScanResult:
    """A finished scan; it chose the first finalist if it is sure."""
    plain = str(LayerPath.identity(num_layers))
    return ScanResult(
        model=model,
        model_fingerprint=fingerprint,
        num_layers=num_layers,
        dtype="float32",
        chat=chat,
        tasks=tasks,
        guards=("mmlu",),
        families=("skip", "repeat"),
        max_block=num_layers,
        passes=2,
        grow=4,
        aim="accuracy",
        seed=7,
        verdict_context="c" * 16,
        rungs=(Rung(step=0, num_questions=32, num_paths=929, num_wrecks=300, num_kept=232),),
        candidates=tuple(candidate(path) for path in (*finalists, *others)),
        finalists=tuple(finalist(path) for path in finalists),
        chosen=str(finalists[0]) if sure else plain,
        sure=sure,
        chance_best=0.21,
        smallest_gain=0.031,
        num_candidates=929,
        verdicts=54000,
        exhaustive_verdicts=487000,
        test_uses=1,
        versions={"search-cluster": "0.2.0", "python": "3.11"},
        digest="d" * 16,
    )


def write_scan(folder: Path, result: ScanResult) -> Path:
    """The run folder of that scan."""
    folder.mkdir(parents=True, exist_ok=True)
    write_result(folder, result)
    return folder
