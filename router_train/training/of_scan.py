"""A static router of the path that ``search-cluster scan`` found: nothing is trained."""

from pathlib import Path

from router_train.config import FitConfig
from router_train.routers.checkpoint import (
    META_NAME,
    TASKS_JOINED,
    RouterInputs,
    RouterMeta,
    installed_versions,
    read_meta,
    require_weights,
    save_meta,
    save_weights,
)
from router_train.routers.fixed import FixedRouter
from router_train.training.fit import FitOutcome
from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.result import ScanResult, Standing
from search_cluster.scan.result_file import read_result
from search_cluster.scan.specs.chosen import path_to_export
from search_cluster.scan.specs.evidence import standing_of
from search_cluster.tasks.kept import copy_kept

SCAN_PRESET = "scan"
"""What stands for the preset of a search in the description of such a router."""
_KIND = "static"
_JUDGED_ON = {
    "test": "questions of the scan's test, which did not choose this path",
    "validation": "questions of the scan's validation, which had a say in the choice of this path",
    "train": "questions of the scan's train, which chose this path and flatter it",
}
"""The splits of a scan, the most telling first."""


def static_of_scan(
    scan: Path, out: Path, *, named: str | None, best: bool, force: bool
) -> FitOutcome:
    """Save a static router of a scan's path, or of another path of the scan's model.

    Returns at once if ``out`` holds that router. No model is loaded.

    Args:
        scan: the folder of a finished scan.
        out: the checkpoint's folder.
        named: a path in any notation; ``None``: that of the scan.
        best: whether the scan's first finalist will do where it is not sure.
        force: whether to write over whatever ``out`` holds.

    Raises:
        CorpusError: the scan is unfinished, or its folder is damaged.
        ConfigError: the scan is not sure and the user named no path, or ``out`` holds another
            router.
        InvalidPathError: the path is none of this model.
    """
    result = read_result(scan)
    path = path_to_export(result, named=named, best=best, folder=str(scan))
    router = FixedRouter(path)
    inputs = RouterInputs(
        model_fingerprint=result.model_fingerprint,
        corpus_digest=result.digest,
        task=TASKS_JOINED.join(result.tasks),
        task_version=result.verdict_context,
        config=FitConfig(router=_KIND, seed=result.seed),
    )
    if (out / META_NAME).is_file() and not force:
        meta = read_meta(out)
        if (meta.inputs, meta.settings) != (inputs, router.settings()):
            raise ConfigError(
                f"{out} holds another router ({meta.kind} {meta.settings.get('path', '')}); choose "
                "another --out, or replace it with --force"
            )
        require_weights(out, meta)
        return FitOutcome(meta=meta, already_finished=True)
    if out.exists() and not out.is_dir():
        raise ConfigError(
            f"{out} is a file; a router is a folder: name another with --out, or move the file away"
        )
    (out / META_NAME).unlink(missing_ok=True)
    split, standing = _most_telling(result, path)
    meta = RouterMeta(
        inputs=inputs,
        model_spec=result.model,
        model_dtype=result.dtype,
        chat=result.chat,
        num_layers=result.num_layers,
        preset=SCAN_PRESET,
        search_seed=result.seed,
        num_train=_num_questions(result, path, "train"),
        num_validation=_num_questions(result, path, "validation"),
        class_counts=(0, 0, 0),
        left_out={},
        settings=router.settings(),
        metrics={} if standing is None else _metrics(split, standing),
        judged_on="" if standing is None else _JUDGED_ON[split],
        versions=installed_versions(),
        weights_sha256=save_weights(out, router),
    )
    copy_kept(scan, out)
    save_meta(out, meta)
    return FitOutcome(meta=meta, already_finished=False)


def _most_telling(result: ScanResult, path: LayerPath) -> tuple[str, Standing | None]:
    for split in _JUDGED_ON:
        standing = standing_of(result, path, split)
        if standing is not None:
            return split, standing
    return "", None


def _metrics(split: str, standing: Standing) -> dict[str, float]:
    return {
        f"{split}_num_questions": float(standing.num_questions),
        f"{split}_gain": standing.gain,
        f"{split}_gain_low": standing.low,
        f"{split}_gain_high": standing.high,
    }


def _num_questions(result: ScanResult, path: LayerPath, split: str) -> int:
    standing = standing_of(result, path, split)
    return 0 if standing is None else standing.num_questions
