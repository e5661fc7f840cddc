"""Part F: a device that has failed an assertion takes its worker along, and no verdict with it.

After such a failure every later call fails at once. A worker that went on would turn question after
question into failures, which stand in the corpus for good. It has to end, so that its requests go
elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gpu_parts.child import run_child
from gpu_parts.device import is_cuda
from gpu_parts.random_models import random_model
from gpu_parts.scale import TOY, Scale
from gpu_parts.sheet import Sheet
from search_cluster.errors import DeviceBrokenError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.tasks.builtin.arithmetic import ARITHMETIC
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.path_worker import PathWorker

NUM_REQUESTS = 4
ENDS = "a worker whose device has failed ends by itself"
SILENT = "and reports no verdict and no failure of the questions that it held"
ERROR = getattr(torch, "AcceleratorError", RuntimeError)
"""What torch raises for a device in that state; the former is new in torch 2.8."""
MESSAGE = "CUDA error: device-side assert triggered"


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part F."""
    said: dict[str, list[str]] = {}
    end = run_child(
        _worker, device, limit_s=sheet.lent_s, take=lambda message: said.update([message])
    )
    if is_cuda(device):
        sheet.put("provoked_by", "an index out of range")
    else:
        sheet.lack("provoked_by", "a CPU asserts nothing; every operation raised the error instead")
    before, after = said.get("before", []), said.get("after")
    sheet.put("outcomes_before", [*before])
    sheet.put("outcomes_after", None if after is None else [*after])
    sheet.put("exit_code", end.exit_code)
    if before != ["Verdict"] * NUM_REQUESTS:
        sheet.judge("a worker evaluates on a device that works", [*before], False)
        return
    ended = after is None and not end.is_late and end.exit_code not in (0, None)
    sheet.judge(ENDS, end.exit_code, ended)
    sheet.judge(SILENT, None if after is None else [*after], after is None)


def _worker(device: str, send: Callable[[Any], None]) -> None:
    """Evaluate, break the device, evaluate again; say each time what kinds of outcomes came."""
    shape = next(iter(TOY.shapes.values()))
    loaded = random_model(shape, device=device)
    spec = WorkerSpec(
        model=loaded.spec, dtype=loaded.dtype, device=device, revision=None,
        trust_remote_code=False, chat="never", task=ARITHMETIC.name, num_threads=1,
        state_bytes=2**26,
    )  # fmt: skip
    worker = PathWorker(spec, loaded)
    path = LayerPath.identity(loaded.num_layers)
    examples = ARITHMETIC.load("test", None).examples[: 2 * NUM_REQUESTS]
    requests = [
        EvaluationRequest(request_id=number, example=example, path=path)
        for number, example in enumerate(examples)
    ]
    send(("before", _kinds(worker, requests[:NUM_REQUESTS])))
    with _broken(device):
        try:
            kinds = _kinds(worker, requests[NUM_REQUESTS:])
        except DeviceBrokenError:  # at which whoever runs a worker ends its process, as this one
            raise
        except Exception as error:  # which a worker survives, on whatever it runs
            kinds = [f"raised {type(error).__name__}"]
        send(("after", kinds))


def _kinds(worker: PathWorker, requests: Sequence[EvaluationRequest]) -> list[str]:
    return [
        f"Failure {result.outcome.kind}"
        if isinstance(result.outcome, Failure)
        else type(result.outcome).__name__
        for result in worker.evaluate(requests).results
    ]


@contextmanager
def _broken(device: str) -> Iterator[None]:
    """A device that has failed an assertion, or a CPU on which every operation says so."""
    if not is_cuda(device):
        with _BrokenDevice():  # type: ignore[no-untyped-call]
            yield
        return
    # It is found out later, by whoever waits for the device next, unless each launch is waited for.
    with suppress(ERROR):
        torch.arange(4, device=device)[torch.tensor([1000], device=device)]
    yield


class _BrokenDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation raises what torch raises for a device in that state."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        raise ERROR(MESSAGE)
