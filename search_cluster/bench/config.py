"""What the benchmarks measure: the settings of each, from which its options are made.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.config import SearchConfig

DEFAULTS = SearchConfig()
AT_LEAST_ONE = {"min": 1}

PUBLISHED_BATCH_S, PUBLISHED_PATH_S = 0.0082, 128 / 5586
"""The pace of an A100, see the top of `search_cluster.bench.scaling`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBenchConfig:
    """What ``bench engine`` measures."""

    model: str = DEFAULTS.model
    """``demo``, a hub id, a folder with safetensors, or a ``.gguf`` file."""
    task: str = DEFAULTS.task
    """A task, whose test split is used."""
    data_dir: Path | None = None
    """Folder of local benchmark files; ``None``: LPS_DATA_DIR, else the hub."""
    num_examples: int = field(default=24, metadata=AT_LEAST_ONE)
    """The number of questions."""
    num_paths: int = field(default=60, metadata=AT_LEAST_ONE)
    """The number of paths of one real search; each runs on each question."""
    num_verdicts: int = field(default=240, metadata=AT_LEAST_ONE)
    """The number of verdicts in random batches of 1 to 512 that are compared with the same request
    alone; pairs come again in other company if there are fewer."""
    num_references: int = field(default=240, metadata=AT_LEAST_ONE)
    """The largest number of pairs among them that are compared with the materialised model, which
    is slow."""
    sample: int = field(default=96, metadata=AT_LEAST_ONE)
    """The number of pairs on which one-by-one evaluation is timed; the same number, in whole paths,
    is timed in same-path batches."""
    batch: int = field(default=256, metadata=AT_LEAST_ONE)
    """The number of pairs in a batch of the timed engine, of which two are in flight."""
    state_bytes: int = field(default=2**30, metadata=AT_LEAST_ONE)
    """The bytes that the engine may keep of path prefixes."""
    seed: int = 0
    """The seed of questions, paths and samples."""
    device: str = DEFAULTS.device
    """``auto``, ``cpu`` or ``cuda``."""
    dtype: str = DEFAULTS.dtype
    """``auto``, ``float32``, ``bfloat16`` or ``float16``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchConfig:
    """What ``bench search`` measures."""

    model: str = DEFAULTS.model
    """``demo``, a hub id, a folder with safetensors, or a ``.gguf`` file."""
    task: str = DEFAULTS.task
    """A task; its train split is searched, its test and validation are fresh evidence."""
    data_dir: Path | None = None
    """Folder of local benchmark files; ``None``: LPS_DATA_DIR, else the hub."""
    num_examples: int = field(default=100, metadata=AT_LEAST_ONE)
    """The number of questions that are searched."""
    budgets: tuple[int, ...] = (10, 25, 50, 100)
    """Numbers of paths per question, separated by commas."""
    presets: tuple[str, ...] = ("chain", "random", "drllm", "polar", "credible")
    """Names of presets, separated by commas."""
    num_fresh: int = field(default=10, metadata=AT_LEAST_ONE)
    """The largest number of fresh perturbations per question."""
    num_probes: int = field(default=400, metadata=AT_LEAST_ONE)
    """The number of fresh other questions; a path that is far behind is asked the first 100."""
    workers: int = field(default=2, metadata=AT_LEAST_ONE)
    """The number of workers, which have a thread each."""
    state_bytes: int = field(default=2**30, metadata=AT_LEAST_ONE)
    """The bytes that each worker may keep of path prefixes."""
    seed: int = 0
    """The seed of questions and searches."""
    device: str = DEFAULTS.device
    """``auto``, ``cpu`` or ``cuda``."""
    dtype: str = DEFAULTS.dtype
    """``auto``, ``float32``, ``bfloat16`` or ``float16``."""
    run: Path | None = None
    """Folder that keeps the verdicts, so that an interrupted comparison goes on; ``None``: kept
    nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingBenchConfig:
    """What ``bench scaling`` measures."""

    workers: tuple[int, ...] = (1, 8, 64, 256)
    """Numbers of scripted workers, separated by commas."""
    seconds: float = field(default=15.0, metadata={"min": 1.0})
    """The length of each measurement."""
    real: bool = True
    """Measure one and two real CPU workers, too, which needs two quiet cores."""
    model: str = DEFAULTS.model
    """The model of the real CPU workers."""
    requests_per_batch: int = field(default=64, metadata=AT_LEAST_ONE)
    """The number of paths that a scripted worker gets together; GPUs want large batches. Real
    workers choose for themselves."""
    batch_s: float = field(default=PUBLISHED_BATCH_S, metadata={"flag": None})
    """The seconds that a scripted worker takes for a batch, whatever is in it."""
    path_s: float = field(default=PUBLISHED_PATH_S, metadata={"flag": None})
    """The seconds that a scripted worker takes for a path, on top."""
