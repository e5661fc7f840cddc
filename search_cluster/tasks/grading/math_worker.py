"""The process in which math-verify runs: JSON requests on stdin, JSON answers on stdout.

Each request and each answer is one line.

It is started by path (see `search_cluster.tasks.grading.math_answers`), so it imports nothing of
the project. It says ``"ready"`` once, then answers ``[gold, answer]`` with ``true`` or ``false``.
Hostile input can't hold it up: each request may use `CPU_LIMIT_S` of processor time, after which
the kernel ends the process (no Python code has to run for that, so a loop inside C code ends too),
and memory is bounded. The limit counts processor time, not wall time, so that no verdict depends on
the machine's load. The process ends when its parent does: at the end of stdin, or when it finds
itself adopted.
"""

import json
import os
import resource
import select
import signal
import sys

CPU_LIMIT_S = 3.0
"""Processor time that a request may use."""
MEMORY_LIMIT_BYTES = 4 * 2**30
PARENT_CHECK_S = 5.0
"""How often an idle process looks whether its parent is still there."""


def _answers_equal(gold: str, answer: str) -> bool:
    """Whether math-verify finds the two answers equal; whatever it can't read is not equal."""
    from math_verify import parse, verify  # loaded before the first request, by `main`

    parsed_gold = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
    parsed_answer = parse(answer, parsing_timeout=0)
    return bool(verify(parsed_gold, parsed_answer, timeout_seconds=0))


def _answer(request: str) -> bool:
    gold, answer = json.loads(request)
    try:
        return _answers_equal(gold, answer)
    except Exception:
        # A parser of arbitrary text: anything that it raises means "not shown to be equal".
        return False


def main() -> None:
    """Serve until stdin ends or the parent is gone."""
    parent = os.getppid()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # What libraries print must not reach the protocol.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    _answers_equal("1", "1")
    print(json.dumps("ready"), file=replies, flush=True)
    # Unbuffered, or else select would miss a line that was read ahead.
    requests = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)
    while True:
        ready, _, _ = select.select([requests], [], [], PARENT_CHECK_S)
        if not ready:
            if os.getppid() != parent:
                return
            continue
        request = requests.readline()
        if not request:
            return
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
        reply = _answer(request.decode())
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
