"""The settings of a search: one frozen dataclass, filled from defaults, a TOML file and flags.

Flags win over the file, the file wins over the defaults. The command line makes its options from
the fields (see `search_cluster.options`), so a default or a help text stands here and nowhere else.
A fact about the model (its depth, its context) is never a setting.
"""

import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from search_cluster.bridged_spec import spec_with_bridges
from search_cluster.errors import ConfigError
from search_cluster.hub_spec import FolderKind, require_local

RAY_LOCAL = "local"
RAY_NONE = "none"
RAY_AUTO = "auto"
CREDIBLE_PRESET = "credible"
"""What a search uses when no preset is named."""
FALLBACK_PRESET = "drllm"
"""What it uses then where questions or evaluations are too few for `CREDIBLE_PRESET`'s study."""
PRESET_ALIASES = {"default": CREDIBLE_PRESET}
"""Former names of presets, which old corpora, settings files and command lines have."""
AT_LEAST_ONE = (
    "limit", "budget", "leaves_per_round", "workers", "coordinators", "threads_per_worker",
    "workers_per_gpu", "devices_per_worker", "requests_per_batch", "rows_per_call", "state_bytes",
)  # fmt: skip
ABOVE_ZERO = (
    "examples_per_shard", "placement_timeout_s", "coordinator_timeout_s", "worker_timeout_s",
)  # fmt: skip
CHAT_MODES = ("auto", "always", "never")
"""When prompts are asked in the chat template: if there is one, always, never."""
EXECUTORS = ("engine", "materialised")
IN_A_FILE_ONLY = {"flag": None}
"""Marks a field that no flag sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """What to search, and on what.

    Paths in a TOML file are relative to the working directory, as on a command line.

    Raises:
        ConfigError: a value is out of its range.
    """

    model: str = "demo"
    """``demo``, a hub id, a folder with safetensors, or a ``.gguf`` file."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    bridges: Path | None = field(default=None, metadata={"hub": FolderKind.BRIDGES})
    """Folder of `search-cluster bridge fit`, or hub:NAME: paths cross its maps where they leave out
    layers; ``None``: no bridges."""
    dtype: str = "auto"
    """``float32``, ``bfloat16``, ``float16``; ``auto``: float32 on the CPU, bfloat16 on a GPU."""
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: a GPU if the worker has one."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""
    chat: str = "auto"
    """Ask in the tokenizer's chat template: ``auto`` (if it has one), ``always``, or ``never`` (in
    plain text)."""
    task: str = "capitals"
    """A task's name (``search-cluster tasks`` lists them), a file (``.toml``, ``.py``, ``.yaml``,
    or rows: ``.jsonl``, ``.csv``, ``.parquet``), ``lm-eval:NAME`` or ``hub:NAME``."""
    split: str = "train"
    """``train``, ``validation`` or ``test``."""
    data_dir: Path | None = None
    """Folder of local benchmark files; ``None``: LPS_DATA_DIR, else the hub."""
    limit: int | None = None
    """The largest number of questions, which the seed draws; ``None``: all."""
    preset: str | None = None
    """Named search: space, score, stop rule; ``None``: credible, or drllm where there are too few
    questions or evaluations for its study."""
    budget: int | None = None
    """The largest number of paths per question, identity included; ``None``: the preset's."""
    leaves_per_round: int | None = None
    """The largest number of paths of one question that are proposed together; ``None``: the
    preset's."""
    visit_total: str | None = None
    """What V counts in the UCB score, on which the papers differ: visits of the ``parent``, or
    ``all`` simulations; ``None``: the preset's."""
    exploration: float | None = None
    """The constant c of the UCB score, which CoLa leaves to the user; ``None``: the preset's."""
    study: Path | None = field(default=None, metadata={"hub": FolderKind.SCAN})
    """Folder of a finished scan of the same model and task, or hub:NAME, whose paths a preset with
    a study tries in place of those of a study of its own; ``None``: no scan."""
    depth_prior: Path | None = field(default=None, metadata={"hub": FolderKind.STUDY})
    """Folder of a finished depth study of the same model, or hub:NAME, whose layers' influence on
    states tells a scan, or the study of a preset, which layers likely matter; ``None``: nothing is
    known."""
    seed: int = 0
    """The seed of the sample of questions and of every search tree."""
    report_to: str = ""
    """Trackers that are told the figures of the run, too, with commas between: ``tensorboard``,
    ``wandb``, ``mlflow``, ``trackio``; the run folder has them in any case."""
    price_per_gpu_hour: float | None = field(
        default=None, metadata={"envvar": "LPS_PRICE_PER_GPU_HOUR"}
    )
    """What an hour of one device costs, so that runs tell what they cost; ``None``: no price."""
    currency: str = field(default="", metadata={"envvar": "LPS_CURRENCY"})
    """What the price is in: a free word, such as EUR."""
    run: Path = Path("runs/search")
    """Run folder: the corpus, the embedded cache, the report. The same command on the same folder
    resumes."""
    ray: str = RAY_LOCAL
    """``local``: a private Ray on this machine; ``none``: this process alone; ``auto`` or an
    address: a running cluster."""
    redis_url: str = field(default="embedded", metadata={"envvar": "LPS_REDIS_URL"})
    """``embedded``: a private server for this run; ``none``: memory only; or a ``redis://``,
    ``rediss://`` or ``unix://`` URL, whose password is safer in the variable."""
    workers: int | None = None
    """The number of workers; ``None``: ``workers_per_gpu`` for each GPU, else one per core up to
    8."""
    workers_per_gpu: int = 1
    """Workers that share one GPU, each with the model's weights and an equal part of the memory.
    Several help where Python, and not the GPU, sets the pace."""
    devices_per_worker: int = 1
    """GPUs of one node that share the layers of each worker's model, for a model that is larger
    than one. Verdicts are those of one GPU, whatever the number."""
    threads_per_worker: int = 1
    """CPU threads of one worker's arithmetic. Other values may change the last bits of a result."""
    coordinators: int | None = None
    """Processes on the Ray cluster that share the questions and drive the workers. The corpus does
    not depend on their number; ``None``: one per 16 workers, and more where they are full."""
    requests_per_batch: int | None = field(default=None, metadata=IN_A_FILE_ONLY)
    """The largest number of paths that are sent to a worker together. Larger batches share more
    work; GPUs want hundreds. ``None``: the smallest number, from 16 to 1,024, with 95 % of the best
    throughput, learnt from what batches take; above 16 at most 8 s of the worker's time."""
    rows_per_call: int | None = field(default=None, metadata=IN_A_FILE_ONLY)
    """The largest number of token rows in one call of a layer. ``None``: 1,024 on the CPU, up to
    8,192 on a GPU, by what its memory has room for beside the weights."""
    executor: str = field(default="engine", metadata=IN_A_FILE_ONLY)
    """``engine``; or ``materialised``: one path at a time on the reference model, slow, exact."""
    state_bytes: int | None = field(default=None, metadata=IN_A_FILE_ONLY)
    """The bytes that one worker may keep of path prefixes; ``None``: what weights and calls leave
    of its part of a GPU, on the CPU up to 1 GiB."""
    placement_timeout_s: float = field(default=600.0, metadata=IN_A_FILE_ONLY)
    """How long to wait for the first worker to be placed and to load the model, and for one to be
    back when all are lost, in seconds. The others join when they are ready. A worker process
    without Ray that takes longer is killed."""
    coordinator_timeout_s: float = field(default=300.0, metadata=IN_A_FILE_ONLY)
    """How long a coordinator may not report, in seconds, before it is taken for hung, killed and
    replaced; while it has work it reports several times a second. It starts within
    ``placement_timeout_s`` if that is longer."""
    worker_timeout_s: float = field(default=1800.0, metadata=IN_A_FILE_ONLY)
    """How long a worker on a cluster or a GPU may take for a batch, in seconds, before it is taken
    for hung, killed and replaced; once its pace is known, 20 times what the batch should take will
    do, and a minute at least."""
    examples_per_shard: int = field(default=64, metadata=IN_A_FILE_ONLY)
    """Examples per Parquet file of the corpus."""

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it is at least 1")
        if any("\ud800" <= sign <= "\udfff" for sign in str(self.run)):  # Arrow takes no such path
            raise ConfigError(
                f"run is {str(self.run)!r}, which is not valid UTF-8; name another folder"
            )
        require_local(self.run, "run")
        require_chat_mode(self.chat)
        self._require_whole_gpus()
        if self.executor not in EXECUTORS:
            raise ConfigError(f"executor is {self.executor!r}; it is one of {', '.join(EXECUTORS)}")
        require_price(self.price_per_gpu_hour)
        for name in ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is above 0")

    def _require_whole_gpus(self) -> None:
        number = self.devices_per_worker
        if number > 1 and self.device == "cpu":
            raise ConfigError(
                f"devices_per_worker is {number}, and device is cpu; layers are shared by GPUs "
                "alone: leave one of the two out"
            )
        if number > 1 and self.workers_per_gpu > 1:
            raise ConfigError(
                f"devices_per_worker is {number}, and workers_per_gpu {self.workers_per_gpu}; a "
                "worker has part of one GPU or several whole ones: leave one of the two out"
            )

    @property
    def model_spec(self) -> str:
        """The model's name with its bridges, as `search_cluster.bridged_spec` writes it.

        Raises:
            ConfigError: the name has other bridges already.
        """
        return spec_with_bridges(self.model, self.bridges)

    def overridden(self, values: Mapping[str, Any]) -> "SearchConfig":
        """This configuration with the values that are not ``None`` in place of its own."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})


def require_price(price: float | None) -> None:
    """Pass if it can be a price, or is none.

    Raises:
        ConfigError: it is below 0, or no finite number.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ConfigError(f"price_per_gpu_hour is {price}; it is a number from 0")


def require_chat_mode(chat: str) -> None:
    """Pass if it is one of `CHAT_MODES`.

    Raises:
        ConfigError: it is not.
    """
    if chat not in CHAT_MODES:
        raise ConfigError(f"chat is {chat!r}; it is one of {', '.join(CHAT_MODES)}")


def read_config(path: Path) -> SearchConfig:
    """The configuration in a TOML file, see `read_settings`; what it does not name has its default.

    Raises:
        ConfigError: see `read_settings`; or a value is out of its range.
    """
    return SearchConfig(**read_settings(path))


def read_settings(path: Path, keys: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a TOML file sets, at the top level.

    Args:
        path: the file.
        keys: the type of each key that it may have; ``None``: the fields of `SearchConfig`.

    Raises:
        ConfigError: the file can't be read, is not TOML, has an unknown key or a value of another
            type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} can't be read: {error}; name a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config {path} is not TOML: {error}") from error
    hints = setting_types(SearchConfig) if keys is None else keys
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"config {path} has the key {key!r}; keys are: {', '.join(hints)}")
        if hints[key] in (Path, Path | None) and isinstance(value, str):
            values[key] = Path(value)
        elif hints[key] in (float, float | None) and type(value) is int:
            values[key] = float(value)
        elif get_origin(hints[key]) is tuple:
            values[key] = _list_of(get_args(hints[key])[0], value, f"config {path}: {key}")
        elif type(value) not in _allowed_types(hints[key]):
            wanted = " or ".join(kind.__name__ for kind in _allowed_types(hints[key]))
            raise ConfigError(f"config {path}: {key} is {value!r}; it is of type {wanted}")
    return values


def setting_types(config: type, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The types of the fields of settings, by name, in the order of the fields."""
    hints = get_type_hints(config)
    return {item.name: hints[item.name] for item in fields(config) if item.name not in without}


def _list_of(kind: type, value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or any(type(item) is not kind for item in value):
        raise ConfigError(f"{name} is {value!r}; it is a list of type {kind.__name__}")
    return tuple(value)


def _allowed_types(hint: Any) -> tuple[type, ...]:
    kinds: tuple[Any, ...] = getattr(hint, "__args__", None) or (hint,)
    return tuple(str if kind is Path else kind for kind in kinds if kind is not type(None))
