"""What crosses the border between a pool and its workers. Free of torch and Ray, and so light."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.errors import EvaluatorError
from search_cluster.identity import ModelIdentity
from search_cluster.paths.cost import BARE, PathCosts
from search_cluster.protocols.counters import UNREAD, DeviceReading, EngineWork
from search_cluster.protocols.messages import EvaluationResult

ENGINE = "engine"
MATERIALISED = "materialised"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """All that a worker needs to build itself, in any process of the cluster."""

    model: str
    """``demo``, a hub id or a folder, as `search_cluster.model.load.loading.load_model` takes
    it."""
    dtype: str
    device: str
    revision: str | None
    trust_remote_code: bool
    chat: str
    """When prompts are asked in the chat template (`search_cluster.config.CHAT_MODES`)."""
    task: str
    """Task name, or the path of a task file, as `search_cluster.tasks.registry.get_task` takes
    it."""
    more_tasks: tuple[str, ...] = ()
    """Further tasks that the worker answers, too: a request is of the task that its example
    names."""
    num_threads: int
    """CPU threads of one worker's arithmetic, at least 1."""
    executor: str = ENGINE
    """`ENGINE`, or `MATERIALISED`: one request at a time on the reference model."""
    state_bytes: int | None = None
    """What the engine may keep of path prefixes; ``None``: what the memory plan has for it."""
    tie_threshold: float | None = None
    """The deciding gap up to which the engine has a verdict recomputed by the materialised model,
    for runs that were begun so; ``None``: as the arithmetic of its device needs."""
    rows_per_call: int | None = None
    """Rows of one layer call, at most; ``None``: by the device's memory."""
    workers_per_gpu: int = 1
    """Workers that share a GPU, if it is on one."""
    devices_per_worker: int = 1
    """GPUs that share the layers of its model, beginning with ``device``."""
    shares_weights: bool = False
    """Whether these are threads of one process, with one copy of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a built worker says of itself."""

    model: ModelIdentity
    chat: bool
    """Whether it asks in the tokenizer's chat template."""
    num_layers: int
    dtype: str
    device: str
    tie_threshold: float
    """Deciding gaps up to it are recomputed by the materialised model; 0.0: none are."""
    node: str
    """Name of the machine, on Kubernetes of the pod."""
    node_id: str = ""
    """Ray's name of it; empty without Ray."""
    pid: int = 0
    """The number of its process, on a cluster."""
    arithmetic: str = ""
    """The device and the kernels that its verdicts depend on; empty for float32."""
    device_share: float = 1.0
    """The part of its device that it has; more than 1 where it has several."""
    costs: PathCosts = BARE
    """What paths of its model cost."""
    warnings: tuple[str, ...] = ()
    """What a user should know of how it loaded its model, a line each."""

    @property
    def model_fingerprint(self) -> str:
        """The fingerprint of its model."""
        return self.model.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a worker says of one batch."""

    results: tuple[EvaluationResult, ...]
    """One per request, in the same order."""
    work: EngineWork
    """Done since the worker's last report."""
    reading: DeviceReading = UNREAD
    """Of its device, just now."""
    local_ids: tuple[int, ...] = ()
    """Requests that failed for what may be this worker's own trouble, such as a full disk."""


def require_alike(infos: Sequence[WorkerInfo]) -> WorkerInfo:
    """The info that all workers share.

    Raises:
        EvaluatorError: two workers hold different models or compute with unlike arithmetic (their
            verdicts must not be mixed).
    """
    one = infos[0]
    for other in infos:
        if (difference := difference_of(one, other)) is not None:
            raise EvaluatorError(difference)
    return one


def difference_of(one: WorkerInfo, other: WorkerInfo) -> str | None:
    """Why verdicts of two workers must not be mixed, in a line; ``None``: they may be."""
    nodes = f"workers on {one.node} and {other.node}"
    if other.model_fingerprint != one.model_fingerprint:
        return (
            f"{nodes} hold models with the fingerprints {one.model_fingerprint} and "
            f"{other.model_fingerprint}{one.model.differences(other.model.parts)}; all must hold "
            "the same one: check that every node reads the same model files and revision"
        )
    if other.arithmetic != one.arithmetic:
        return (
            f"{nodes} compute {one.dtype} with unlike kernels ({one.arithmetic} and "
            f"{other.arithmetic}), which round differently; all must be alike: take nodes of one "
            "kind and installation, or --dtype float32"
        )
    if other.tie_threshold != one.tie_threshold:
        return (
            f"{nodes} recompute verdicts up to gaps of {one.tie_threshold:g} and "
            f"{other.tie_threshold:g}, because their arithmetic differs; all must be alike: take "
            "nodes of one kind and installation"
        )
    return None
