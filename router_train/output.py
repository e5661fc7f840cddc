"""What commands say: words to people on standard error, one JSON object to machines on standard output."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(text: str) -> None:
    """A text for people."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Mapping[str, Any]) -> None:
    """The last line of standard output."""
    sys.stderr.flush()
    print(json.dumps(value), flush=True)
