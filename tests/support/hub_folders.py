"""One small folder of each kind that goes to the hub, and a local hub to put it on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from support import tiny
from support.bridges import random_bridges
from support.depth_studies import made_up_study
from support.model_doubles import loaded_tiny
from support.router_corpus import (
    fruit_example,
    fruit_task,
    record,
    write_corpus,
    write_table,
)
from support.scanned import scan_result, write_scan

from router_train.training.of_scan import static_of_scan
from search_cluster.depth.result import write_depth_result
from search_cluster.hub_spec import FolderKind
from search_cluster.model.bridge.folder import save_bridges
from search_cluster.model.lens.folder import LensFormat, save_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.scan.table import ScanContext, ScanRow, ScanTable, write_scan_table
from search_cluster.tasks.verdict import Verdict

WIDTH = 32
SHORT = LayerPath.from_decisions((1, 1, 0, 1, 1, 1))
IDENTITY = LayerPath.identity(tiny.NUM_LAYERS)
LEFT_BEHIND = ("cache/appendonly.aof", "sessions/a.json", "report.html", "worker.log")
"""What a run folder has besides, and nobody else is to have."""
LENS_FOUND = {
    "kind": "ridge",
    "texts": "task arc_easy",
    "texts_digest": "t" * 16,
    "tokens": 500,
    "held_out": "a tenth of task arc_easy",
    "held_out_tokens": 64,
    "held_out_texts": 6,
    "divergence": [1.5] * tiny.NUM_LAYERS + [None],
    "divergence_logit": [3.0] * tiny.NUM_LAYERS + [None],
    "top1": [0.25] * (tiny.NUM_LAYERS + 1),
    "top1_logit": [0.125] * (tiny.NUM_LAYERS + 1),
    "mean_cut": 0.5,
    "mean_cut_low": 0.4,
    "mean_cut_high": 0.6,
    "depths_with_translator": tiny.NUM_LAYERS,
    "depths_lower_than_logit": 6,
    "depths_top1_higher": 5,
    "request": {"texts": {"task": "arc_easy", "seed": 0, "tokens": 500}, "fit": {"kind": "ridge"}},
}
BRIDGES_FOUND = {
    "text": "text book.txt",
    "tokens": 900,
    "held_out_text": "a tenth of text book.txt",
    "strengths": {"1-3": 0.1},
    "paths": [
        {
            "path": "0-1,3-5",
            "held_out_tokens": 90,
            "divergence": 0.25,
            "divergence_bare": 0.5,
            "cut": 0.5,
            "layers_saved": 0.9,
        }
    ],
}


def corpus(folder: Path) -> Path:
    """Twelve questions, a table, and what else lies in a run folder, a user's task included."""
    records = [record(fruit_example(number), (1, 1, 0, 1, 1, 1)) for number in range(12)]
    write_corpus(folder, records, task=fruit_task())
    write_table(folder, [IDENTITY, SHORT], np.array([[False, True]] * 12))
    _clutter(folder)
    kept = folder / "tasks" / "fruit"
    kept.mkdir(parents=True)
    (kept / "rows.jsonl").write_text('{"question": "my own"}\n')
    return folder


def scan(folder: Path) -> Path:
    """A finished scan that is sure of one path, with its table."""
    write_scan(folder, scan_result([SHORT, LayerPath.from_decisions((1, 0, 1, 1, 1, 1))]))
    table = ScanTable(
        ScanContext(
            model="tiny", model_fingerprint="f" * 32, num_layers=6, contexts={"arc_easy": "c"}
        )
    )
    right = Verdict(reward=1.0, margin=0.5, output="B", num_layer_tokens=50)
    for path, outcome in ((IDENTITY, right), (SHORT, Failure(kind="Odd", message="no"))):
        table.add(
            ScanRow(split="train", task="arc_easy", example_id="a", path=path, outcome=outcome)
        )
    write_scan_table(folder, table)
    _clutter(folder)
    return folder


def study(folder: Path) -> Path:
    """A depth study of text, with its rows."""
    folder.mkdir(parents=True)
    write_depth_result(folder, made_up_study())
    (folder / "rows.parquet").write_bytes(b"texts")
    return folder


def lens(folder: Path) -> Path:
    """A lens of the tiny model, as safetensors."""
    return _lens(folder, LensFormat.SAFETENSORS)


def pickled_lens(folder: Path) -> Path:
    """A lens of the tiny model, as tuned-lens writes it."""
    return _lens(folder, LensFormat.TUNED_LENS)


def _lens(folder: Path, format_: LensFormat) -> Path:
    generator = torch.Generator().manual_seed(0)
    made = Lens(
        kind=LensKind.RIDGE,
        weight_LDD=torch.randn(tiny.NUM_LAYERS, WIDTH, WIDTH, generator=generator),
        bias_LD=torch.randn(tiny.NUM_LAYERS, WIDTH, generator=generator),
    )
    save_lens(folder, made, loaded_tiny(), format_=format_, found=LENS_FOUND)
    return folder


def bridges(folder: Path) -> Path:
    """Bridges of the tiny model over one jump."""
    save_bridges(folder, random_bridges([Jump(1, 3)]), loaded_tiny(), BRIDGES_FOUND)
    return folder


def router(folder: Path) -> Path:
    """A static router of the path of a scan."""
    static_of_scan(scan(folder.parent / "scan"), folder, named=None, best=False, force=False)
    return folder


MAKERS: dict[FolderKind, Callable[[Path], Path]] = {
    FolderKind.CORPUS: corpus,
    FolderKind.SCAN: scan,
    FolderKind.STUDY: study,
    FolderKind.LENS: lens,
    FolderKind.BRIDGES: bridges,
    FolderKind.ROUTER: router,
}


def _clutter(folder: Path) -> None:
    for name in LEFT_BEHIND:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a secret of this machine")
