"""A search as a job of a cluster: check here what would fail there, submit, follow the log."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_cluster.cache.url import redact_url
from search_cluster.config import RAY_AUTO, RAY_LOCAL, SearchConfig, read_config
from search_cluster.console import EXIT_INTERRUPTED
from search_cluster.errors import ConfigError

EXCLUDES = ("/runs/", ".venv/", ".git/", "**/__pycache__/", ".*_cache/")
"""What is never sent of the working directory, besides what Git and Ray ignore."""
SUCCEEDED, STOPPED = "SUCCEEDED", "STOPPED"
"""Two of Ray's words for how a job ended; `FAILED` is the third."""
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedSearch:
    """How to start one search on the cluster."""

    entrypoint: str
    working_dir: Path


def plan_search(
    config: Path | None, flags: Sequence[str], values: Mapping[str, Any], *, working_dir: Path
) -> SubmittedSearch:
    """The command that runs a search as a job.

    Args:
        config: settings file, or ``None``.
        flags: the other flags of ``search``, as on its command line.
        values: the same flags, parsed, by the names of `SearchConfig`'s fields; ``None`` is unset.
        working_dir: what is copied to the cluster.

    Raises:
        ConfigError: the search would fail, lose its corpus or show a password there.
    """
    working_dir = working_dir.resolve()
    settings = (SearchConfig() if config is None else read_config(config)).overridden(values)
    if not settings.run.is_absolute():
        raise ConfigError(
            f"run is {str(settings.run)!r}; a job runs in a copy of the working directory that the "
            "cluster deletes: give an absolute folder on storage that outlives it, such as --run "
            "/mnt/shared/runs/NAME"
        )
    if values.get("ray", RAY_AUTO) != RAY_AUTO or settings.ray not in (RAY_LOCAL, RAY_AUTO):
        raise ConfigError(
            f"ray is {settings.ray!r}; a job uses the cluster that runs it: leave the setting out"
        )
    url = values.get("redis_url")
    if url is not None and redact_url(url) != url:
        raise ConfigError(
            f"--redis-url {redact_url(url)} holds a password, which everybody who lists the "
            "cluster's jobs could read; set LPS_REDIS_URL in the environment of the cluster's "
            "head node instead"
        )
    command = ["python", "-m", "search_cluster.cli", "search"]
    if config is not None:
        command += ["--config", str(_inside(config, working_dir))]
    command += [*flags, "--ray", RAY_AUTO, "--json"]
    return SubmittedSearch(entrypoint=shlex.join(command), working_dir=working_dir)


def _inside(config: Path, working_dir: Path) -> Path:
    resolved = config.resolve()
    if not resolved.is_relative_to(working_dir):
        raise ConfigError(
            f"config {config} is not below the working directory {working_dir}, which is all that "
            "the cluster gets; move it there, or name another --working-dir"
        )
    return resolved.relative_to(working_dir)


def submit_search(planned: SubmittedSearch, *, address: str, wait: bool) -> dict[str, Any]:
    """Submit a planned search and follow its log on standard error to its end.

    Returns:
        The job's id, its status and the exit code that stands for it.

    Raises:
        ConfigError: the address is none.
        EvaluatorError: the cluster can't be reached, or does not take the job.
    """
    from search_cluster.cluster.environment import prepare_job_environment

    with_token = prepare_job_environment()
    from search_cluster.cluster.job_client import RayJobs  # reads the environment that was prepared

    try:
        jobs = RayJobs(address)
    except ValueError as error:  # Ray's word for an address that is none
        raise ConfigError(
            f"address is {address!r}: {error}; give the dashboard's, as http://HEAD:8265"
        ) from error
    job_id = jobs.submit(planned.entrypoint, working_dir=planned.working_dir, excludes=EXCLUDES)
    advice = _advice(job_id, address, with_token=with_token)
    print(f"job {job_id} was submitted: {planned.entrypoint}\n{advice}", file=sys.stderr)
    if not wait:
        return {"job": job_id, "status": "SUBMITTED", "exit_code": 0}
    try:
        status, code = jobs.follow(job_id, _write_log)
    except KeyboardInterrupt:
        print(f"\njob {job_id} goes on without you\n{advice}", file=sys.stderr)
        return {"job": job_id, "status": "RUNNING", "exit_code": EXIT_INTERRUPTED}
    if status == SUCCEEDED:
        exit_code = 0
    else:
        exit_code = EXIT_INTERRUPTED if status == STOPPED else code or EXIT_FAILED
        print(
            f"job {job_id} ended as {status}; nothing found is lost: submit it again to go on",
            file=sys.stderr,
        )
    return {"job": job_id, "status": status, "exit_code": exit_code}


def _write_log(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _advice(job_id: str, address: str, *, with_token: bool) -> str:
    mode = "RAY_AUTH_MODE=token " if with_token else ""
    where = f"--address {shlex.quote(address)} {job_id}"
    return (
        f"  follow it: {mode}ray job logs --follow {where}\n  stop it:   {mode}ray job stop {where}"
    )
