"""One job on a running cluster, through Ray's job server: submit it, follow it, learn its end.

`search_cluster.cluster.environment.prepare_job_environment` comes before the first import of this
module.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import requests
from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from search_cluster.cluster.address import require_job_server_at
from search_cluster.cluster.session import with_advice
from search_cluster.errors import EvaluatorError, in_one_line

POLL_INTERVAL_S = 2.0
MAX_SILENCE_S = 300.0
"""How long the job server may be unreachable before following a job is given up."""
OUTAGES = (RuntimeError, OSError, requests.RequestException, aiohttp.ClientError)
"""What the client raises when the job server can't be reached for a while."""

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(
    logging.WARNING
)  # it tells when each stream of a log ends


class RayJobs:
    """The jobs of one cluster.

    Args:
        address: of the job server, such as ``http://head:8265``.

    Raises:
        EvaluatorError: no job server answers there, or it refuses the token.
    """

    def __init__(self, address: str) -> None:
        require_job_server_at(address)
        try:
            self._client = JobSubmissionClient(address)
        except (*OUTAGES, RayError) as error:
            raise EvaluatorError(
                f"no Ray job server lets us in at {address}: "
                + with_advice(error, "give the dashboard's address, such as http://HEAD:8265")
            ) from error

    def submit(self, entrypoint: str, *, working_dir: Path, excludes: Sequence[str]) -> str:
        """Upload a working directory and start a command in its copy on the cluster; the job's id.

        Raises:
            EvaluatorError: the directory can't be uploaded, or the server refuses the job.
        """
        try:
            job_id: str = self._client.submit_job(
                entrypoint=entrypoint,
                runtime_env={"working_dir": str(working_dir), "excludes": list(excludes)},
            )
        except (*OUTAGES, ValueError) as error:
            raise EvaluatorError(
                f"the job can't be submitted from {working_dir}: {in_one_line(error)}; a working "
                "directory is 512 MiB at most: name what stays here in .rayignore"
            ) from error
        return job_id

    def follow(self, job_id: str, write: Callable[[str], Any]) -> tuple[str, int | None]:
        """Hand on the job's log as it grows until the job ends; its status and exit code, if any.

        Raises:
            EvaluatorError: the job server did not answer for `MAX_SILENCE_S`; the job may go on.
            KeyboardInterrupt: the user has seen enough; the job goes on.
        """
        num_seen = 0
        last_answer_s = time.monotonic()
        while True:
            try:
                num_seen = asyncio.run(self._tail(job_id, num_seen, write))
                info = self._client.get_job_info(job_id)
                last_answer_s = time.monotonic()
                if info.status.is_terminal():
                    return info.status.value, info.driver_exit_code
            except OUTAGES as error:
                if time.monotonic() - last_answer_s > MAX_SILENCE_S:
                    raise EvaluatorError(
                        f"the job server has not answered for {MAX_SILENCE_S:g} s "
                        f"({in_one_line(error)}); job {job_id} may go on: follow it again when the "
                        "server is back"
                    ) from error
            time.sleep(POLL_INTERVAL_S)

    async def _tail(self, job_id: str, num_seen: int, write: Callable[[str], Any]) -> int:
        """Write what is new since ``num_seen`` characters; a stream begins at the log's start."""
        position = 0
        async for text in self._client.tail_job_logs(job_id):
            new = text[max(0, num_seen - position) :]
            position += len(text)
            if new:
                write(new)
                num_seen = position
        return num_seen
