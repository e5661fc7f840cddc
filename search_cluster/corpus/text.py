"""Text that every format can hold."""


def storable_text(text: str) -> str:
    """``text`` with lone surrogates, which UTF-8 can't encode, replaced by U+FFFD. Other text comes back as it is."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
