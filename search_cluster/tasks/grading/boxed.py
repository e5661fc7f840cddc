r"""What an answer puts into ``\boxed{}``."""


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``, or ``None`` without a complete one.

    ``\fbox{...}`` and ``\boxed 7`` are read, too.
    """
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0:
        return None
    body = text[start:].removeprefix("\\boxed").removeprefix("\\fbox").lstrip()
    if not body.startswith("{"):
        return body.split("$")[0].split()[0] if body.split("$")[0].split() else None
    depth = 0
    for position, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return body[1:position].strip() or None
    return None
