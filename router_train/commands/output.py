"""What commands say: results on standard output, for people or as one JSON object; the rest on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(text: str) -> None:
    """A text for people."""
    print(text, file=sys.stderr, flush=True)


def show(text: str, *, json_output: bool) -> None:
    """A result for people: on standard output, unless that belongs to a JSON object, which ``json_output`` says."""
    print(text, file=sys.stderr if json_output else sys.stdout, flush=True)


def print_json(value: Mapping[str, Any]) -> None:
    """The last line of standard output."""
    sys.stderr.flush()
    print(json.dumps(value), flush=True)
