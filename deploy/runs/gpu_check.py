"""For the owner of a GPU: how fast and how exact is the engine there? At most 8 minutes.

    PYTHONPATH=. python deploy/runs/gpu_check.py                # all parts, on the first card
    PYTHONPATH=. python deploy/runs/gpu_check.py --parts B,D --out gpu.jsonl
    PYTHONPATH=. python deploy/runs/gpu_check.py --device cpu --toy    # does the script work? 20 s

Needs torch, transformers, and what these need. No network, no Ray, no Redis, no model: weights are
random, at the widths of Llama-3.2-3B and Qwen3-8B. Part D also asks the demo model, or the one that
`--model` names, if it is there. A part that needs more than is installed is skipped by name.

| part | what it looks at | limit |
|---|---|---|
| A | the card, a plain product, four ways to attend | 20 s |
| B | one call of a layer, by rows and segments | 60 s |
| C | the whole engine: paths per second, and where the time goes | 120 s |
| D | verdicts: alone, in company, and the materialised model's | 120 s |
| E | memory: planned, taken, after evictions, and when it runs out | 40 s |
| F | a device that fails an assertion, and its worker | 30 s |
| G | a token at a time, as transformers decodes | 30 s |
| H | loading a folder: seconds and host memory | 20 s |
| I | layers on two cards, where there are two: verdicts of one | 40 s |

One line of JSON for each part: its figures, why some are missing, and its rules, each with whether
it holds. Then a last line, PASS or FAIL, and the exit code: 0; 1 if a rule does not hold, a part
broke off or none could run; 2 for a mistake in the flags. The last line also names parts of which a
rule was left open.
"""

import argparse
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
import transformers
from gpu_parts.child import FORK, SPAWN, START_VARIABLE, run_child
from gpu_parts.scale import CARD, TOY, Scale
from gpu_parts.sheet import Mark, Report, Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the check."""

    about: str
    module: str
    """The module of `gpu_parts` that runs it, by its function ``check``."""
    limit_s: float
    needs: str
    """What it needs besides torch 2.6."""


ENGINE_NEEDS = "transformers 5 (search-cluster itself asks for 5.20; torch 2.9)"
WORKER_NEEDS = f"{ENGINE_NEEDS}, platformdirs and pydantic"
PARTS: Mapping[str, Part] = {
    "A": Part(
        about="the card, a product and ways to attend",
        module="card", limit_s=20, needs="nothing; torch 2.10 for varlen, 2.12 for one split",
    ),
    "B": Part(about="a call of a layer", module="layer_call", limit_s=60, needs=ENGINE_NEEDS),
    "C": Part(about="the whole engine", module="throughput", limit_s=120, needs=ENGINE_NEEDS),
    "D": Part(
        about="verdicts alone and in company",
        module="verdicts", limit_s=120, needs=f"{ENGINE_NEEDS}; platformdirs for real weights",
    ),
    "E": Part(about="memory", module="memory", limit_s=40, needs=ENGINE_NEEDS),
    "F": Part(about="a broken device", module="broken_device", limit_s=30, needs=WORKER_NEEDS),
    "G": Part(about="a token at a time", module="one_by_one", limit_s=30, needs=ENGINE_NEEDS),
    "H": Part(
        about="loading a folder",
        module="loading", limit_s=20, needs=f"{ENGINE_NEEDS}; accelerate for a device map",
    ),
    "I": Part(
        about="layers on two cards", module="several_cards", limit_s=40, needs=ENGINE_NEEDS
    ),
}  # fmt: skip
TAKES_MODEL = "D"
START_S = 30.0
"""What a device may take to answer for the first time."""


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; returns the exit code."""
    args = _parsed(arguments)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    scale = TOY if args.toy else CARD
    reports = []
    with ExitStack() as stack:
        files = [sys.stdout, *([stack.enter_context(args.out.open("w"))] if args.out else [])]
        for name in args.parts:
            report = run_part(name, scale, args.device, args.model)
            reports.append(report)
            _print(json.dumps(report.as_json()), files)
        line, code = conclusion(reports)
        _print(line, files)
    return code


def run_part(name: str, scale: Scale, device: str, model: str) -> Report:
    """Run one part in a process of its own, for as long as it may take."""
    part = PARTS[name]
    report = Report(part=name, about=part.about, limit_s=part.limit_s)
    try:  # here, so that the processes of all parts share what is imported
        check = importlib.import_module(f"gpu_parts.{part.module}").check
    except ImportError as error:
        versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
        report.skipped = f"it needs {part.needs}; here, with {versions}: {error}"
        return report
    more = (model,) if name == TAKES_MODEL else ()
    end = run_child(
        _fill_in, check, (scale, device, *more), time.monotonic() + part.limit_s,
        limit_s=part.limit_s, take=lambda message: report.take(*message),
    )  # fmt: skip
    report.seconds = end.seconds
    report.error = report.error or end.trouble
    return report


def _fill_in(
    check: Callable[..., None],
    arguments: tuple[Any, ...],
    end_s: float,
    send: Callable[[tuple[str, Any]], None],
) -> None:
    sheet = Sheet(end_s - time.monotonic(), lambda kind, content: send((kind, content)))
    try:
        check(sheet, *arguments)
    except Exception as error:  # whatever goes wrong is what the part has found out
        traceback.print_exc()
        sheet.fail(f"{type(error).__name__}: {str(error)[:300]}")


def conclusion(reports: Sequence[Report]) -> tuple[str, int]:
    """The last line, and the exit code."""
    named = {mark: ", ".join(r.part for r in reports if r.mark is mark) for mark in Mark}
    noted = {
        "rules left open": ", ".join(report.part for report in reports if report.is_open),
        "measured only": named[Mark.MEASURED],
        "skipped": named[Mark.SKIPPED],
    }
    notes = "".join(f"; {what}: {parts}" for what, parts in noted.items() if parts)
    if named[Mark.FAIL]:
        return f"FAIL: {named[Mark.FAIL]}{notes}", 1
    if all(report.mark is Mark.SKIPPED for report in reports):
        return f"FAIL: no part could run{notes}", 1
    return f"PASS{notes}", 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", type=_part_names, default=list(PARTS), help="such as A,B; all if left out"
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, seconds")
    parser.add_argument("--model", help="real weights for part D: demo, a folder; none: without")
    parser.add_argument("--out", type=Path, help="a file for the lines, besides stdout")
    args = parser.parse_args(arguments)
    if args.model is None:
        args.model = "none" if args.toy else "demo"
    if problem := _device_problem(args.device):
        parser.error(problem)
    return args


def _part_names(text: str) -> list[str]:
    names = [name.strip().upper() for name in text.split(",")]
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no part; parts are {','.join(PARTS)}")
    return names


def _device_problem(device: str) -> str:
    """Why nothing can run there; empty if it can."""
    # In another process: one that has looked for a GPU can't be forked for work on it.
    said = f"--device is {device!r}, and it does not answer"
    named = os.environ.get(START_VARIABLE)
    for method in (named,) if named else (FORK, SPAWN):
        os.environ[START_VARIABLE] = method
        found: list[str] = []
        run_child(_try_device, device, limit_s=START_S, take=found.append)
        said = found[0] if found else said
        # Where torch has no CUDA, another way to start would change nothing.
        if not said or not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
            break
    return said


def _try_device(device: str, send: Callable[[str], None]) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:200]
        send(f"--device is {device!r}, and torch can't use it: {reason}; --device cpu needs no GPU")
    else:
        send("")


def _print(line: str, files: Iterable[TextIO]) -> None:
    for file in files:
        print(line, file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())
