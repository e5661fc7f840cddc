"""How a worker was lost, and why, in one line."""

import re

from ray.exceptions import (
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from search_cluster.cluster.nodes import died_with_its_node
from search_cluster.errors import DeviceBrokenError, EvaluatorError, SearchClusterError, in_one_line
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import WorkerInfo
from search_cluster.workers.wire import LinkBrokenError

STORE_ERRORS = (ObjectStoreFullError, OutOfDiskError)
MEMORY_ADVICE = "ask for fewer --workers, each of which holds the model, or for nodes with more"
LOW_MEMORY = re.compile(r"running low on memory")
END_OF_FILE = re.compile(r"connection error code 2|Socket closed|End of file")


def loss_of(error: RayError, info: WorkerInfo) -> tuple[Loss, str]:
    """What became of a worker that did not answer a batch, and why.

    Raises:
        EvaluatorError: it lives and refuses the batch, or Ray can't keep the answer.
    """
    if isinstance(error, STORE_ERRORS):
        raise store_is_full(error, info.node) from error
    if not isinstance(error, RayTaskError):
        # The actor died or can't be reached, or the result was lost with its node.
        if died_with_its_node(error, info.node_id):
            had_notice = isinstance(error, RayActorError) and error.preempted
            return Loss.PREEMPTED if had_notice else Loss.NODE, in_one_line(error)
        return Loss.PROCESS, cause_of_death(error, info)
    if isinstance(error.cause, LinkBrokenError):  # it was restarted while it was idle
        return Loss.IDLE, str(error.cause)
    if isinstance(error.cause, DeviceBrokenError):
        return Loss.DEVICE, str(error.cause)
    raise EvaluatorError(
        f"a worker on {info.node} refused a batch: {in_one_line(error.cause)}; nothing found is "
        "lost: look at Ray's logs for the cause, then run the same command again"
    ) from error


def cause_of_death(error: RayError, info: WorkerInfo) -> str:
    """Why a worker's process ended, as far as Ray knows, and what to do about it."""
    if isinstance(error, OutOfMemoryError):
        return low_memory(str(error))
    detail = _exit_detail(info)
    if LOW_MEMORY.search(detail):
        return low_memory(detail)
    if END_OF_FILE.search(detail or str(error)):
        return (
            f"its process on {info.node} was killed or crashed, as when the kernel ends it for "
            f"want of memory (dmesg tells); {MEMORY_ADVICE}"
        )
    return detail or in_one_line(error)


def low_memory(text: str) -> str:
    """What became of a worker that Ray's memory monitor killed, and what to do about it."""
    return f"Ray's memory monitor killed it: {memory_used(text)}; {MEMORY_ADVICE}"


def memory_used(text: str) -> str:
    """What Ray says of the memory when its monitor kills a process, without the pages behind it."""
    used, _, _ = text.partition("\nObject store")
    return " ".join(used.split())


def _exit_detail(info: WorkerInfo) -> str:
    """What Ray's table says of the end of a process; empty where it does not tell."""
    try:
        from ray._private.state import state  # none of Ray's public interfaces tells it
        from ray.core.generated.gcs_pb2 import WorkerTableData

        table = state._connect_and_get_accessor().get_worker_table()
        for row in reversed(table):
            worker = WorkerTableData.FromString(row)
            is_it = worker.pid == info.pid and worker.worker_address.node_id.hex() == info.node_id
            if is_it and not worker.is_alive:
                return str(worker.exit_detail)
    except (ImportError, AttributeError, RuntimeError, RayError):
        pass
    return ""


def store_is_full(error: RayError, node: str) -> EvaluatorError:
    """What ends a run when Ray can't keep an object."""
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return EvaluatorError(
        f"Ray's object store on {node or 'a node'} is full ({first}); nothing found is lost: give "
        "it more room (ray start --object-store-memory, a larger /dev/shm, such as docker run "
        "--shm-size or an emptyDir of medium Memory), then run the same command again"
    )


def build_error(error: RayError, num_workers: int) -> Exception:
    """Our own error that a worker raised while it was built, or one that names Ray's."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, SearchClusterError):
        return type(cause)(str(cause))
    if isinstance(cause, OutOfMemoryError):
        advice = (
            "ask for fewer --workers: each of them holds the model"
            if num_workers > 1
            else "take a node with more memory, or a smaller model"
        )
        return EvaluatorError(
            "Ray's memory monitor killed a worker while it loaded the model: "
            f"{memory_used(str(cause))}; {advice}"
        )
    why = in_one_line(cause)
    if isinstance(cause, RayError):
        return EvaluatorError(f"a worker died while it was built: {why}")
    return EvaluatorError(f"a worker can't be built: {type(cause).__name__}: {why}")
