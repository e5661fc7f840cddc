"""Runs a function in a process of its own, for so long and no longer.

A device that has failed an assertion, or has no memory left, is then that process's trouble alone,
and what it took of the device is free again afterwards.

Processes are forked: torch is imported by then, which takes seconds. So whoever calls must not have
touched the device, which a forked process can't use again. Where importing did so already,
`START_VARIABLE` says ``spawn``, and each process imports anew.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any

START_VARIABLE = "GPU_CHECK_START"
"""The environment variable that names how processes start; they hand it on to their own."""
FORK, SPAWN = "fork", "spawn"
END_WAIT_S = 2.0
"""How long a process that has said all it had may take to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a process ended."""

    exit_code: int | None
    """Negative: the signal that ended it."""
    is_late: bool
    """Whether it was ended because its time was up."""
    seconds: float
    """What all of them together took."""

    @property
    def trouble(self) -> str:
        """Why it did not do all it was to do; empty if it did."""
        if self.is_late:
            return f"it was ended after {self.seconds:.0f} s, when its time was up"
        if self.exit_code is not None and self.exit_code < 0:
            return f"signal {-self.exit_code} ended it"
        return f"it ended with exit code {self.exit_code}" if self.exit_code else ""


def start_context() -> BaseContext:
    """What makes processes, and what they share."""
    return multiprocessing.get_context(os.environ.get(START_VARIABLE, FORK))


def run_child(
    function: Callable[..., None],
    *arguments: Any,
    limit_s: float,
    take: Callable[[Any], None],
) -> End:
    """Call ``function(*arguments, send)`` in a new process and take what it sends.

    Args:
        function: what to run; it calls ``send(message)`` as often as it likes.
        arguments: its arguments but the last.
        limit_s: the time after which it is killed.
        take: called with each message.
    """
    (end,) = run_children(function, [arguments], limit_s=limit_s, take=take)
    return end


def run_children(
    function: Callable[..., None],
    arguments: Sequence[tuple[Any, ...]],
    *,
    limit_s: float,
    take: Callable[[Any], None],
) -> list[End]:
    """The same in as many processes at once as there are sets of arguments."""
    started_s = time.monotonic()
    context = start_context()
    processes, open_ends = [], []
    for some in arguments:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(  # type: ignore[attr-defined]
            target=_run, args=(function, some, theirs)
        )
        process.start()
        theirs.close()
        processes.append(process)
        open_ends.append(ours)
    late: list[Connection] = []
    try:
        late = _drain(list(open_ends), started_s + limit_s, take)
        for process, messages in zip(processes, open_ends, strict=True):
            if messages not in late:
                process.join(END_WAIT_S)
    finally:
        for process in processes:
            # Those that it has started in turn, and that have not ended, hold memory of the device.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
    seconds = time.monotonic() - started_s
    return [
        End(exit_code=process.exitcode, is_late=messages in late, seconds=seconds)
        for process, messages in zip(processes, open_ends, strict=True)
    ]


def _drain(
    messages: list[Connection], end_s: float, take: Callable[[Any], None]
) -> list[Connection]:
    """Take messages until there will be no more; returns those that may have more after the end."""
    while messages and (ready := wait(messages, max(0.0, end_s - time.monotonic()))):
        for one in ready:
            assert isinstance(one, Connection), "nothing else is waited for"
            try:
                take(one.recv())
            except EOFError:
                messages.remove(one)
    return messages


def _run(function: Callable[..., None], arguments: tuple[Any, ...], messages: Connection) -> None:
    os.setpgid(0, 0)
    function(*arguments, messages.send)
    messages.close()
