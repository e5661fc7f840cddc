"""One spelling of numbers for the many in which they are written."""

import re
import unicodedata

_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SUBSCRIPT = "₀₁₂₃₄₅₆₇₈₉"
_REWRITTEN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"<<[^<>]*>>|</?[A-Za-z]\w*>|<\|\w+\|>", " "),
        (r"\{,\}", ","),
        (r"\\!", ""),
        (r"\\[,;: ]|~(?=\d)|\\q?quad(?![A-Za-z])|\\[()\[\]]", " "),
        (r"\\([$%#&_])", r"\1"),
        (r"\\(?:left|right|displaystyle)(?![A-Za-z])", ""),
        (r"\\(?:text|mbox|mathrm|mathbf|mathit|textbf|textit|textrm|operatorname)\s*\{([^{}]*)\}",
         r"\1"),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)", r" \1/\2"),
        (r"\\frac\s*\{\s*(\d+)\s*\}\s*(?:\{\s*(\d+)\s*\}|(\d))", r" \1/\2\3"),
        (r"\\frac\s*(\d)\s*\{\s*(\d+)\s*\}", r" \1/\2"),
        (r"\\(?:times|cdot)(?![A-Za-z])|·", "×"),
        (r"\\pi(?![A-Za-z])", "π"),
        (r"\\pm(?![A-Za-z])", "±"),
        (r"\\(?:ne|neq)(?![A-Za-z])", "≠"),
        (r"\\(?:geq?|leq?|gt|lt)(?![A-Za-z])", "<"),
        (r"\\(?:approx|sim)(?![A-Za-z])", "≈"),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])", "°"),
        (r"\\[A-Za-z]+", "√"),
        (r"\b(?:Rs\.?|INR|USD|EUR|GBP)\s?(?=\d)", "$"),
        (r"(?<=\d)\*\*(?=\d)", "^"),
        (r"\*\*+|__+|`", ""),
        (r"(?i)(?<=\d) and (?:a half|one half)\b", " 1/2"),
        (r"(?i)(?<=\d) and (?:a|one) quarter\b", " 1/4"),
        (r"(?i)(?<=\d) and three quarters\b", " 3/4"),
    )
)  # fmt: skip
"""LaTeX and Markdown as the plain text that they mean. Commands without such a meaning become
``√``, beside which nothing is a number."""


def levelled_text(text: str) -> str:
    """The text with one spelling of digits, fractions, signs and spaces, and without LaTeX."""
    if not text.isascii():
        text = re.sub(
            f"([{_SUPERSCRIPT}]+)[⁄/]([{_SUBSCRIPT}]+)",
            lambda match: " " + unicodedata.normalize("NFKC", f"{match[1]}/{match[2]}"),
            text,
        )
        text = re.sub(
            f"⁻?[{_SUPERSCRIPT}]+",
            lambda match: "^" + unicodedata.normalize("NFKC", match[0]).replace("−", "-"),
            text,
        )
        text = re.sub("[¼-¾⅐-⅞]", lambda match: " " + unicodedata.normalize("NFKC", match[0]), text)
        text = unicodedata.normalize("NFKC", text)
        text = re.sub(r"[^\W\D]", lambda match: str(unicodedata.digit(match[0])), text)
        text = text.translate({ord("−"): "-", ord("⁄"): "/", ord("٬"): ",", ord("٫"): "."})
    for pattern, replacement in _REWRITTEN:
        text = pattern.sub(replacement, text)
    return re.sub(r"\s+", lambda match: "\n" if "\n" in match[0] else " ", text)
