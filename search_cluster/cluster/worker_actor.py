"""The Ray actor of a real worker: one process, one device, one `PathWorker`."""

import asyncio
import logging
import os
import platform
import time
from dataclasses import replace

from search_cluster.cluster.broken_actor import BrokenActor, this_node_id
from search_cluster.errors import DeviceBrokenError
from search_cluster.workers.messages import WorkerInfo, WorkerSpec
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.wire import (
    LinkBrokenError,
    LinkIn,
    PackedBatch,
    PackedReport,
    pack_report,
)

logger = logging.getLogger(__name__)


class PathWorkerActor:
    """Builds its worker when it is first asked; reached through a `worker_handle.WorkerHandle`.

    It is an asyncio actor, so that batches run at the same time, in threads. They begin in any
    order.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._placed_s = time.monotonic()
        self._link = LinkIn()
        self._building = asyncio.Lock()
        self._worker: PathWorker | None = None
        self._broken = BrokenActor()

    async def placed(self) -> str:
        """The machine's name; answers as soon as the process is up."""
        return platform.node()

    async def info(self, slot: int) -> tuple[WorkerInfo, float]:
        """Build the worker if need be.

        Returns:
            What it says of itself, and for how many seconds this process has held its device.

        Raises:
            DeviceBrokenError: the device is broken; the process ends.
            SearchClusterError: what building a worker raises.
        """
        if self._broken.is_ending:
            await self._broken.never()
        # Not in __init__: an error there would reach the caller as a dead actor, without its type.
        async with self._building:
            if self._worker is None:
                try:
                    self._worker = await asyncio.to_thread(PathWorker, self._spec)
                except DeviceBrokenError as error:
                    raise self._broken.end(error) from error
        info = replace(self._worker.info, node_id=this_node_id(), pid=os.getpid())
        return info, time.monotonic() - self._placed_s

    async def evaluate(self, slot: int, batch: PackedBatch) -> PackedReport:
        """Evaluate a batch as `PathWorker.evaluate` does.

        Raises:
            DeviceBrokenError: the device is broken; the process ends.
            LinkBrokenError: this process was restarted unnoticed; ask for its `info` again.
        """
        if self._broken.is_ending:
            await self._broken.never()
        if self._worker is None:
            raise LinkBrokenError(
                "this worker was restarted and holds no model yet; ask for its info, then go on"
            )
        requests = self._link.unpack(batch)
        try:
            return pack_report(await asyncio.to_thread(self._worker.evaluate, requests))
        except DeviceBrokenError as error:
            raise self._broken.end(error) from error
        except (KeyboardInterrupt, SystemExit):
            # It would end the event loop and leave a process that answers nobody. A dead one is
            # restarted, and what killed it is found out.
            logger.exception("code of the task ended this worker")
            os._exit(1)
