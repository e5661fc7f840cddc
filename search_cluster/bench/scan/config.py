"""What ``bench scan`` computes and replays: the settings, from which its options are made.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.config import SearchConfig
from search_cluster.hub_spec import FolderKind
from search_cluster.scan.settings import Aim

DEFAULTS = SearchConfig()
AT_LEAST_ONE = {"min": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTableConfig:
    """The table that ``bench scan table`` computes."""

    out: Path
    """Folder of the table; a table that is there is gone on with."""
    model: str = DEFAULTS.model
    """``demo``, a hub id, a folder with safetensors, or a ``.gguf`` file."""
    task: str = DEFAULTS.task
    """A task whose questions have choices."""
    data_dir: Path | None = None
    """Folder of local benchmark files; ``None``: LPS_DATA_DIR, else the hub."""
    split: str = "train"
    """The split whose questions are asked."""
    num_questions: int = field(default=1524, metadata=AT_LEAST_ONE)
    """The number of questions; a later call with a larger one adds the rest."""
    num_full: int | None = field(default=None, metadata=AT_LEAST_ONE)
    """The number of questions, the first ones, that all paths are asked; the others are for those
    that did best there; ``None``: all questions."""
    keep: int = field(default=120, metadata=AT_LEAST_ONE)
    """The number of paths that are asked the others."""
    max_block: int | None = field(default=None, metadata=AT_LEAST_ONE)
    """The largest number of layers in a block that is skipped or run twice; ``None``: all."""
    block: int = field(default=1, metadata=AT_LEAST_ONE)
    """The number of questions that a worker asks together, and that a file holds; GPUs want more,
    and an interrupt loses those that are not done."""
    workers: int = field(default=2, metadata=AT_LEAST_ONE)
    """The number of workers, which have a thread each."""
    seed: int = 0
    """The seed of the draw of questions."""
    device: str = DEFAULTS.device
    """``auto``, ``cpu`` or ``cuda``."""
    dtype: str = DEFAULTS.dtype
    """``auto``, ``float32``, ``bfloat16`` or ``float16``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReplayConfig:
    """What ``bench scan replay`` replays over a table."""

    num_train: int = field(default=524, metadata=AT_LEAST_ONE)
    """The number of questions that a race may ask; the others are fresh."""
    num_validation: int = field(default=250, metadata=AT_LEAST_ONE)
    """The number of questions of validation."""
    num_test: int = field(default=250, metadata=AT_LEAST_ONE)
    """The number of questions of test."""
    races: int = field(default=8, metadata=AT_LEAST_ONE)
    """The number of races that are compared with running all paths on all their questions."""
    nulls: int = field(default=100, metadata={"min": 0})
    """The number of scans of questions whose right answer is drawn among the choices."""
    covers: int = field(default=40, metadata={"min": 0})
    """The number of scans whose intervals are compared with what other questions say."""
    aim: str = Aim.ACCURACY.value
    """What nulls and covers look for: accuracy, layers or front, as `scan --aim`."""
    published: int = field(default=200, metadata={"min": 0})
    """The number of times that each published protocol is run."""
    second: Path | None = None
    """Folder of the table of another task, from which published protocols that ask two tasks take
    the second half of their questions; ``None``: both halves are of one task."""
    depth_prior: Path | None = field(default=None, metadata={"hub": FolderKind.STUDY})
    """Folder of a depth study of the same model; the same races are run once more with what it says
    of layers; ``None``: they are not."""
    seed: int = 0
    """The seed of all draws of questions."""
