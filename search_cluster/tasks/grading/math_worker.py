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
from typing import Any

CPU_LIMIT_S = 3.0
"""Processor time that a request may use."""
MEMORY_LIMIT_BYTES = 4 * 2**30
PARENT_CHECK_S = 5.0
"""How often an idle process looks whether its parent is still there."""


FLOAT_ROUNDING = 30
"""Decimal places in which floats are compared: the library's 6 take 0.0000001 for 0.0000003."""
NUMERIC_PRECISION = 100
"""Digits in which other numbers are compared: the library's 15 take 2^-99 for 2^-98."""
RELATIVE_GAP = 1e-12
"""Numbers further apart than this share of their size are unequal, however small they are."""


def _answers_equal(gold: str, answer: str) -> bool:
    """Whether math-verify finds the two answers equal; whatever it can't read is not equal."""
    from math_verify import parse  # loaded before the first request, by `main`

    parsed_gold = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
    parsed_answer = parse(answer, parsing_timeout=0)
    return any(_equal(one, other) for one in parsed_gold for other in parsed_answer)


def _equal(gold: Any, answer: Any) -> bool:
    """Whether two parsed answers are equal."""
    from math_verify import verify

    return (
        verify(
            gold,
            answer,
            float_rounding=FLOAT_ROUNDING,
            numeric_precision=NUMERIC_PRECISION,
            timeout_seconds=0,
        )
        and not (_says_nothing(gold) and _says_nothing(answer) and str(gold) != str(answer))
        and not _apart(gold, answer)
    )


def _says_nothing(value: Any) -> bool:
    """Whether an equation holds for all numbers or for none, as ``1 = 2`` and ``3 = 4`` do."""
    from sympy import Equality, simplify
    from sympy.logic.boolalg import BooleanAtom

    return isinstance(value, BooleanAtom) or (
        isinstance(value, Equality) and not simplify(value.lhs - value.rhs).free_symbols
    )


def _apart(gold: Any, answer: Any) -> bool:
    """Whether two numbers are far apart for their size, which an absolute precision can't see."""
    from sympy import Expr

    if not (isinstance(gold, Expr) and isinstance(answer, Expr)):
        return False
    if gold.free_symbols or answer.free_symbols:
        return False
    size, gap = abs(gold.doit().evalf(20)), abs((gold.doit() - answer.doit()).evalf(20))
    return bool(size.is_Float and gap.is_Float and size > 0 and gap > RELATIVE_GAP * size)


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
