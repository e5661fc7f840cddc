r"""What two mathematical answers are before algebra: numbers, units, percent, brackets, relations.

math-verify drops units, percent signs, bases and dangling relations, and takes a pair for a set. It
calls unequal answers equal there (``5\text{ cm}`` and ``5\text{ km}``, ``10`` and ``10\%``), which
does more harm than the reverse. So `settle` decides what can be decided by form, and leaves to
algebra what only algebra can decide.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from search_cluster.tasks.grading.numbers import find_numbers, only_number

_UNITS = {
    **dict.fromkeys(("dollar", "dollars", "usd", "$"), "$"),
    **dict.fromkeys(("cent", "cents", "¢"), "cent"),
    **dict.fromkeys(("degree", "degrees", "deg", "°"), "°"),
    **dict.fromkeys(("inch", "inches", "in", '"'), "in"),
    **dict.fromkeys(("foot", "feet", "ft"), "ft"),
    **dict.fromkeys(("yard", "yards", "yd"), "yd"),
    **dict.fromkeys(("mile", "miles", "mi"), "mi"),
    **dict.fromkeys(("meter", "meters", "metre", "metres", "m"), "m"),
    **dict.fromkeys(("centimeter", "centimeters", "centimetre", "centimetres", "cm"), "cm"),
    **dict.fromkeys(("millimeter", "millimeters", "millimetre", "millimetres", "mm"), "mm"),
    **dict.fromkeys(("kilometer", "kilometers", "kilometre", "kilometres", "km"), "km"),
    **dict.fromkeys(("gram", "grams", "g"), "g"),
    **dict.fromkeys(("kilogram", "kilograms", "kg"), "kg"),
    **dict.fromkeys(("pound", "pounds", "lb", "lbs"), "lb"),
    **dict.fromkeys(("second", "seconds", "sec", "s"), "s"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "min"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), "h"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("year", "years", "yr", "yrs"), "year"),
    **dict.fromkeys(("mph",), "mi/h"),
    **dict.fromkeys(("unit", "units", "square units", "units^2", "cubic units", "units^3"), ""),
}
"""Units by their spellings; others stand for themselves."""
_PERCENT = re.compile(r"\s*(?:\\?%|\\text\s*\{\s*percent\s*\}|percent)\s*$")
_TIDIED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\!", ""),
        (r"\\(?:left|right|displaystyle|q?quad)(?![A-Za-z])|(?<!\\)\\[,;: ()]", " "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"^\s*[A-Za-z]\s*\\in(?![A-Za-z])", ""),
        (r"\\(math(?:bb|bf|rm|cal))\s+([A-Za-z])", r"\\\1{\2}"),
        (r"√\s*\(([^()]*)\)|(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1\2}"),
        (r"√\s*(\d+|[A-Za-z])(?![\w.(])", r"\\sqrt{\1}"),
        (r"π|(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"∞", r"\\infty "),
        (r"−", "-"),
        (r"(?<=[\w)}])\s*\*\s*(?=[\w(\\])", r"\\cdot "),
        (r"\s+", " "),
    )
)
_RELATIONS = {
    "≠": re.compile(r"\\neq?(?![A-Za-z])|≠"),
    "≈": re.compile(r"\\(?:approx|sim|simeq)(?![A-Za-z])|≈"),
    "<": re.compile(r"\\(?:geq?|leq?|gt|lt|geqslant|leqslant)(?![A-Za-z])|[<>≤≥]"),
}
_BASE = re.compile(r"\d\s*_\s*\{?(?:\\text\s*\{)?\s*(?:base\s*)?([\w ]+?)\s*\}*\s*$")
_WORD = re.compile(r"[A-Za-z]{2,}")
_UNIT_AFTER = re.compile(
    r"(?<=[\w)}])\s*\\(?:text|mbox|mathrm|textrm)\s*\{([^{}]*)\}\s*(\^\s*\{?\d\}?)?\s*$"
)
_UNIT_SAID = re.compile(
    r"\s*((?:square|cubic|sq|cu) )?([^\W\d_]+|[°$¢])(\s*\^\s*\{?\d\}?)?", re.IGNORECASE
)
_LEAD_IN = re.compile(
    r"(?:[A-Za-z' ]*\b(?:is|are|equals)\b|[A-Za-z ]*[A-Za-z]{2,}\s*:)[\s:*$]*(?=\S)"
)
_WRONG = re.compile(r"\b(?:wrong|incorrect|false)\b", re.IGNORECASE)
_JOIN = re.compile(r",?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b)\s*|;")
_HEDGE = re.compile(
    r"\b(?:or|not|either|neither|nor|between|maybe|perhaps)\b|n['’]t\b|\\pm|±", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Two answers whose equality algebra has to decide, perhaps rewritten."""

    gold: str
    answer: str
    is_prose: bool = False
    """Whether the answer is a sentence, from which algebra has to take the formula."""


def settle(gold: str, answer: str) -> bool | Undecided:
    """Whether two answers are equal by their form, or what is left for algebra.

    Args:
        gold: the gold answer, LaTeX without a box.
        answer: what the model gave, without its box.
    """
    gold, answer = _tidy(gold), _tidy(answer)
    rounded = _RELATIONS["≈"].search(answer)
    if rounded and not _RELATIONS["≈"].search(gold) and _pure_number(answer[rounded.end() :]):
        answer = answer[: rounded.start()].strip() or answer  # said exactly, then as a decimal
    if gold == answer:
        return True
    numbers = _pure_number(gold), _pure_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0].value == numbers[1].value and not _differ(
            numbers[0].unit, numbers[1].unit
        )
    if not _related_alike(gold, answer) or not _formed_alike(gold, answer):
        return False
    if bool(_PERCENT.search(gold)) != bool(_PERCENT.search(answer)):
        gold, answer = _as_hundredths(gold), _as_hundredths(answer)
    return Undecided(gold=gold, answer=answer)


def settle_prose(gold: str, text: str) -> bool | Undecided:
    """As `settle`, for an answer without a box: a formula, or a sentence that ends in one."""
    said = _said(text)
    if said is not None:
        return settle(gold, said)
    if _worded(gold) and _worded(gold) in (_worded(text), _worded(_without_lead_in(_tidy(text)))):
        return True
    number = _pure_number(_tidy(gold))
    if number is not None:
        found = [item for item in find_numbers(text) if not item.is_denied]
        if not found or found[-1].value is None:
            return False
        unit = _UNIT_SAID.match(found[-1].after)
        known = _unit("".join(unit.groups(""))) if unit and unit[2].lower() in _UNITS else ""
        value = found[-1].value / (100 if found[-1].is_percent else 1)
        return value == number.value and not _differ(number.unit, known)
    if _HEDGE.search(text) and not _HEDGE.search(gold):
        return False
    return Undecided(gold=gold, answer=text, is_prose=True)


def _said(text: str) -> str | None:
    """The formula that is all of a text, or all behind words such as ``The answer is``."""
    bare = _tidy(text).strip("*$ ").removesuffix(".").strip("*$ ")
    for part in (bare, _without_lead_in(bare)):
        kept = re.sub(r"\\(?:text|mbox|mathrm|textrm|begin|end)\s*\{[^{}]*\}", " ", part)
        if part and not _WORD.search(re.sub(r"\\[A-Za-z]+", " ", _JOIN.sub(",", kept))):
            return part
    return None


def _without_lead_in(text: str) -> str:
    found = _LEAD_IN.match(text)
    denied = found is not None and (_HEDGE.search(found[0]) or _WRONG.search(found[0]))
    return text if found is None or denied else text[found.end() :].strip("*$ ")


def _worded(text: str) -> str:
    """A word or a name without case and markup; empty if the text is none."""
    text = re.sub(r"\\(?:text|mbox|mathrm|textrm)\s*\{([^{}]*)\}", r"\1", text).strip("*$(). ")
    return text.casefold() if re.fullmatch(r"[^\W\d_]+(?: [^\W\d_]+){0,3}", text) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quantity:
    value: Fraction
    unit: str


def _tidy(text: str) -> str:
    dollars = re.findall(r"(?<!\\)\$", text)
    if len(dollars) % 2 == 0:  # else one of them is money
        text = re.sub(r"(?<!\\)\$", " ", text)
    for pattern, replacement in _TIDIED:
        text = pattern.sub(replacement, text)
    if not text.isascii():
        text = re.sub(
            "[⁰¹²³⁴-⁹]+", lambda match: f"^{{{unicodedata.normalize('NFKC', match[0])}}}", text
        )
    text = re.sub(r"(\d+)\.(\d*)\\overline\s*\{(\d+)\}", _repeating, text)
    return text.strip().rstrip(".")


def _repeating(match: re.Match[str]) -> str:
    r"""A repeating decimal as a fraction: ``0.1\overline{6}`` is 1/6."""
    whole, once, period = match.groups()
    top = int(whole + once + period) - int(whole + once)
    return f"\\frac{{{top}}}{{{(10 ** len(period) - 1) * 10 ** len(once)}}}"


def _pure_number(text: str) -> _Quantity | None:
    """The number, with its unit, that is all of the text; percent counts as hundredths."""
    found = only_number(text)
    if found is None or found.value is None or re.search(r"[(\[].*,", text):
        return None  # (1,234) is a pair
    before, after = found.before.strip(" -+–(="), found.after.strip(" .)")
    if found.is_percent:
        after = re.sub(r"^(?:%|per ?cent|pct)", "", after, flags=re.IGNORECASE).strip()
        if after:
            return None
    if before not in ("", "$", "€", "£", "¥", "₹") or not re.fullmatch(
        r"(?:[^\W\d_]+|[°'\"¢/.^ ]|\^\{?\d\}?)*", after
    ):
        return None
    if re.search(r"\b(?:or|and|to|more|less|not)\b", after):
        return None
    value = found.value / (100 if found.is_percent else 1)
    return _Quantity(value=value, unit=_unit(before or after))


def _unit(text: str) -> str:
    """A unit's one spelling; empty if the text names none."""
    text = re.sub(r"[{}.]", "", text.casefold()).strip()
    text = re.sub(r"\s*\^\s*", "^", text)
    power = re.match(r"(?:square|sq) (.+)|(?:cubic|cu) (.+)", text)
    if text not in _UNITS and power:
        return f"{_unit(power[1] or power[2])}^{2 if power[1] else 3}"
    name, mark, exponent = text.partition("^")
    return _UNITS.get(text, _UNITS.get(name, name) + mark + exponent)


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _related_alike(gold: str, answer: str) -> bool:
    """Whether relations stand in both or in none; a relation without a left side is none at all."""
    for kind, pattern in _RELATIONS.items():
        in_gold, in_answer = pattern.search(gold), pattern.search(answer)
        if any(found is not None and not found.start() for found in (in_gold, in_answer)):
            return False
        if bool(in_gold) != bool(in_answer):
            other = answer if in_gold else gold
            if kind != "<" or not re.search(r"[\[\](){}]", other):  # not even an interval
                return False
    return True


def _formed_alike(gold: str, answer: str) -> bool:
    """Whether units, bases, ratios, brackets and numbers of elements go together."""
    units = _UNIT_AFTER.search(gold), _UNIT_AFTER.search(answer)
    if units[0] and units[1]:
        one, other = (_unit(match[1] + (match[2] or "")) for match in units if match)
        if _differ(one, other):
            return False
    bases = [match[1] if match else "" for match in map(_BASE.search, (gold, answer))]
    if bases[0] != bases[1]:
        return False
    if re.fullmatch(r"[A-Za-z]{2,}", gold) and re.fullmatch(r"[A-Za-z]{2,}", answer):
        return gold.casefold() == answer.casefold()  # words, or names such as ABC: no products
    if "\\begin" in gold or "\\begin" in answer or _HEDGE.search(gold + answer):
        return True
    (gold_brackets, gold_body), (brackets, body) = (
        _without_brackets(gold),
        _without_brackets(answer),
    )
    sizes, other_sizes = _sizes(gold_body), _sizes(body)
    if max(sizes) > 1 and max(other_sizes) > 1 and gold_brackets and brackets:
        if gold_brackets != brackets:
            return False
        if gold_brackets.startswith("\\{"):
            return True  # an element of a set may be named twice
    return (
        bool(sizes & other_sizes)
        or any(pattern.search(gold + answer) for pattern in _RELATIONS.values())
        or "=" in gold + answer
    )


def _without_brackets(text: str) -> tuple[str, str]:
    """The brackets around all of a text, if there are, and what is in them."""
    opening = re.match(r"\\\{|[(\[]", text)
    closing = re.search(r"(\\\}|[)\]])$", text)
    if not opening or not closing:
        return "", text
    depth = 0
    for match in re.finditer(r"\\?[(\[{]|\\?[)\]}]", text):
        depth += 1 if match[0][-1] in "([{" else -1
        if depth == 0 and match.end() < len(text):
            return "", text
    return opening[0] + closing[0], text[opening.end() : closing.start()]


def _sizes(text: str) -> set[int]:
    """The numbers of elements that a list may have: a comma may part thousands, too."""
    return {_size(text), _size(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text))}


def _size(text: str) -> int:
    depth = num_commas = 0
    for character in _JOIN.sub(",", text.replace("{,}", "")):
        depth += (character in "([{") - (character in ")]}")
        num_commas += character == "," and depth == 0
    return num_commas + 1


def _as_hundredths(text: str) -> str:
    found = _PERCENT.search(text)
    return f"\\frac{{{text[: found.start()]}}}{{100}}" if found else text
