"""What a worker process does: build workers of one device, and answer batches until it is told off.

It ends when its connection does, so that none outlives whoever started it, and at once when its
device is broken or code of a task ends it: it says why, and another process takes its place.
"""

import logging
import os
import queue
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from search_cluster.errors import (
    DeviceBrokenError,
    EvaluatorError,
    SearchClusterError,
    in_one_line,
)
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.workers.batch_size import BATCHES_PER_WORKER
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.shared_model import workers_of_one_model
from search_cluster.workers.wire import LinkIn, pack_report

BUILT, LAST_WORD = -1, -2
"""In the place of a batch's number: what the workers say of themselves, or the error of building
them; and why the process ends."""
EXIT_CODE = 13
"""Of a process that ends by itself, after its last word."""


class ServingProcess:
    """This process as a worker process.

    Args:
        connection: to whoever started it. First comes what to build (`WorkerSpec`, number of
            workers), then batches (number, worker, `PackedBatch`); back go (number, `PackedReport`
            or error).
    """

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._saying = threading.Lock()
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self) -> None:
        """Work until the connection ends, and the process with it."""
        threading.Thread(target=self._listen, daemon=True).start()
        spec, num_workers = self._told.get()
        try:
            workers = workers_of_one_model(spec, num_workers)
        except SearchClusterError as error:
            self._say(BUILT, error)
            return
        except Exception as error:
            why = f"a worker can't be built: {type(error).__name__}: {in_one_line(error)}"
            self._say(BUILT, EvaluatorError(why))
            return
        self._say(BUILT, [worker.info for worker in workers])
        links = [LinkIn() for _ in workers]
        with ThreadPoolExecutor(BATCHES_PER_WORKER * num_workers) as threads:
            while True:
                number, place, batch = self._told.get()
                requests = links[place].unpack(batch)  # one thread keeps the books
                threads.submit(self._answer, number, workers[place], requests)

    def _listen(self) -> None:
        try:
            while True:
                self._told.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(0)

    def _answer(self, number: int, worker: PathWorker, requests: list[EvaluationRequest]) -> None:
        try:
            report = pack_report(worker.evaluate(requests))
        except DeviceBrokenError as error:
            self._end(error)
        except Exception as error:
            why = f"a worker refused a batch: {type(error).__name__}: {in_one_line(error)}"
            self._say(number, EvaluatorError(why))
        except BaseException as error:  # code of a task that exits, which an evaluation survives
            why = f"code of the task ended it by {type(error).__name__}: {in_one_line(error)}"
            self._end(EvaluatorError(why))
        else:
            self._say(number, report)

    def _end(self, error: EvaluatorError) -> None:
        self._say(LAST_WORD, error)
        os._exit(EXIT_CODE)

    def _say(self, number: int, what: object) -> None:
        with self._saying:
            self._connection.send((number, what))


def main() -> None:
    """Serve on the connection whose file descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it
    os.dup2(2, 1)  # standard output is for results
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log = logging.getLogger("search_cluster")
    log.addHandler(handler)
    log.setLevel(logging.ERROR)  # warnings of loading travel with what the workers say
    ServingProcess(Connection(int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
