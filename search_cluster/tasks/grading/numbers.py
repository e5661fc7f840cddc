r"""Numbers in text, read by value: ``1,00,000``, ``10 000``, ``1 1/2``, ``1.5e3``, ``\frac12``.

A number is read only if its spelling has one meaning. What may be two numbers (``2,5``, ``5 or 6``,
``10:30``), a part of a larger expression (``5x``, ``√5``, ``3 + 2``) or not the answer (``more than
5``) has no value; it is never guessed, since a wrong answer that counts as right does more harm
than a right one that does not.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from search_cluster.tasks.grading.boxed import is_box_cut, last_boxed, own_answer
from search_cluster.tasks.grading.spellings import levelled_text

MAX_DIGITS = 400
"""Numbers with more digits than this are not read."""

_CONTEXT = 60
"""The number of characters before a number that decide what it is."""
_SCALES = {
    "hundred": 2, "thousand": 3, "lakh": 5, "lakhs": 5, "million": 6, "crore": 7, "crores": 7,
    "billion": 9, "trillion": 12,
}  # fmt: skip
"""The power of ten of each word that multiplies the number before it."""
_CURRENCY = "$€£¥₹"
_NUMBER = re.compile(
    rf"""
      (?P<mixed>\d+)\s?(?:\s|and\s)(?P<top>\d+)\s?/\s?(?P<bottom>\d+)
    | (?P<numerator>\d+(?:\.\d+)?)\s?/\s?(?P<denominator>\d+(?:\.\d+)?)
    | (?:
          (?P<grouped>
              (?<!\d\s)[1-9]\d{{0,2}}(?:\ \d{{3}})+(?!\s?\d)     # 10 000
            | [1-9]\d{{0,2}}(?:,\d{{3}})+(?!\d)                 # 10,000
            | [1-9]\d?(?:,\d{{2}})+,\d{{3}}(?!\d)               # 1,00,000
            | [1-9]\d{{0,2}}(?:['’]\d{{3}})+(?!\d)              # 10'000
            | [1-9]\d{{0,2}}(?:_\d{{3}})+(?!\d)                 # 10_000
          )(?P<decimals>\.\d+|(?<=\ \d{{3}}),\d{{1,2}}(?!\d))?
        | (?P<dotted>[1-9]\d{{0,2}}(?:(?:\.\d{{3}})+(?=,\d)|(?:\.\d{{3}}){{2,}}(?!\d)))  # 1.234.567
          (?P<dotted_decimals>,\d+)?
        | (?P<plain>\d+(?:\.\d+)?|(?<!\.)\.\d+)
      )
      (?:
          [eE](?P<exponent>[-+]?\d+)(?!\w)
        | \s?[×x*]\s?10\s?\^\s?[{{(]?(?P<ten>[-+]?\d+)[)}}]?      # 1.5 × 10^3
        | \s?\^\s?[{{(]?(?P<power>[-+]?\d+)[)}}]?                 # 2^10
        | \s?(?P<scale>{"|".join(_SCALES)})(?![^\W_])
      )?
    """,
    re.VERBOSE | re.ASCII,
)

_ALPHABETIC = "A-Za-zÀ-ɏͰ-ϿЀ-ӿ"
"""Letters of scripts that part words by spaces; in others, a number may follow any word."""
_GLUED_BEFORE = re.compile(
    rf"(?:[{_ALPHABETIC}]|[{_ALPHABETIC}][-+*×/^.]|[{_ALPHABETIC}0-9]_)[({{]?\Z"
)
"""The number belongs to a name or to an exponent: ``CO2``, ``COVID-19``, ``m^2``, ``No.5``."""
_UNREADABLE_BEFORE = re.compile(r"(?:(?:[\d√^}±≠/]|√\{|(?<![-=])[<>≤≥]|_\{?)[({]?\s?|\d[.,:])\Z")
_UNREADABLE_AFTER = re.compile(
    r"\d|[.,:]\d|\s?[\^±‰π√]|\s?/\s?\d|_|[-–—]\d|\s?[×÷*]\s?\w|[({]|\}\{"
    r"|\s?[exyznik](?![^\W\d_])|[^.\d\n]{0,20}\bbelow zero\b"
    r"|(?:[KMBkb]|\s?(?:bn|mn|mln|mio))(?![^\W\d_])"
)
_OPERATOR_BEFORE = re.compile(
    r"(?:[\d)]\s*(?:[-+×÷*/^±–—]|\s:|\b(?:plus|minus|times|divided by|multiplied by)\b)"
    r"|[^\W\d_]\s*[+×÷*/^])\s*\Z",
    re.IGNORECASE,
)
_SIGN = re.compile(rf"([-–+]|\bminus\b|\bnegative\b)(\s*)[{_CURRENCY}]?\s?\Z", re.IGNORECASE)
_SIGN_AFTER_WORD = re.compile(
    r"(?:^|[=:(\[{|>,;]|\n|\b(?:is|are|was|be|equals|equal to|becomes|get|gets|gives|yields))\s*\Z",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bno longer|\brather than|\binstead of|\bunlike)\s+"
    rf"(?:(?!but\b)[a-z]+\s+){{0,2}}[-{_CURRENCY}]?\s*\Z",
    re.IGNORECASE,
)
_NOT_AFTER = re.compile(
    r"\s*(?:(?:is|was|are|would be)\s+(?:\w+ly\s+)?(?:not|wrong|incorrect|false)\b"
    r"|(?:is|was)n['’]t\b)",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:more|less|fewer|greater|larger|smaller|higher|lower|bigger|other|exceeds?) (?:than )?"
    rf"[-{_CURRENCY}]?\s*\Z",
    re.IGNORECASE,
)
_JOINED = re.compile(
    rf"\s*[{_CURRENCY}%°]?\s*(?:"
    r"(?:[^\W\d_]+\s*)?(?:"
    r"(?:[,;]|\bor\b|\band\b)\s*(?:(?:maybe|perhaps|possibly|even|rather)\s+)?(?:[^\W\d_]\s*=)?"
    r"|[/&–—~-]|\b(?:to|through|versus|vs|of|in|by|over|out of)\b)\s*"
    r"|(?:hours?|hrs?|h|minutes?|mins?|feet|foot|ft|['′]|pounds?|lbs?|days?|weeks?|months?|years?"
    r"|yards?|dollars?|euros?|km|m|cm|kg|g|gallons?|quarts?|cups?)(?![^\W\d_])\s*"
    rf")\s*[-(]?[{_CURRENCY}]?\s*",
    re.IGNORECASE,
)
"""What stands between two numbers that are offered together or belong together: ``5 or 6``, ``x = 5
or x = -5``, ``1 hour 30 minutes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNumber:
    """A number in a text, or what looks like one."""

    value: Fraction | None
    """The value without a percent sign's hundredth, exact; ``None`` if the spelling has no single
    meaning."""
    is_percent: bool
    """Whether a percent sign or the word follows."""
    is_denied: bool
    """Whether the text says that it is not this one."""
    before: str
    """The text between the number before, or the beginning, and this one."""
    after: str
    """The text behind it, up to the end."""


def last_number(text: str) -> Fraction | None:
    r"""The value of the last number of a text, exact; ``50%`` is 50.

    It is the last one in the last ``\boxed{}``, if there is one. ``None`` if there is no number, if
    the last one has no single meaning, or if the box is not closed. Another question that the text
    goes on to ask says nothing.
    """
    first = own_answer(text)
    if first != text and find_numbers(first):
        text = first
    if is_box_cut(text):
        return None
    boxed = last_boxed(text)
    numbers = find_numbers(text if boxed is None else boxed)
    found = [number for number in numbers if not number.is_denied]
    return found[-1].value if found else None


def only_number(text: str) -> FoundNumber | None:
    """The one number of a text that holds one and no more; ``None`` otherwise."""
    if re.fullmatch(r"\s?-?\d{1,15}(?:\.\d{1,15})?", text, re.ASCII):  # most of them
        return FoundNumber(
            value=Fraction(text), is_percent=False, is_denied=False, before="", after=""
        )
    found = find_numbers(text)
    if len(found) != 1 or found[0].value is None or found[0].is_denied:
        return None
    return found[0]


def number_text(value: Fraction) -> str:
    """The value as a decimal number where it is one, else as a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        if places > MAX_DIGITS:
            return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def find_numbers(text: str) -> list[FoundNumber]:
    """All numbers of a text in their order, those among them that can't be read.

    Digits that belong to a name (``CO2``) or a unit (``m^2``) are none, nor are words (``five``).
    """
    text = levelled_text(text)
    found: list[FoundNumber] = []
    end = 0
    for match in _NUMBER.finditer(text):
        before = text[max(0, match.start() - _CONTEXT) : match.start()]
        if _GLUED_BEFORE.search(before):
            continue
        value = _signed(_value(match), before)
        after = text[match.end() :]
        unsigned = _SIGN.sub("", before)
        if _UNREADABLE_BEFORE.search(unsigned) or _UNREADABLE_AFTER.match(after):
            value = None
        if _BOUND.search(before) or _OPERATOR_BEFORE.search(before):
            value = None
        if found and _JOINED.fullmatch(text, end, match.start()) and found[-1].value != value:
            value = None
        found.append(
            FoundNumber(
                value=value,
                is_percent=re.match(r"\s?(?:%|per ?cents?\b|pct\b)", after, re.IGNORECASE)
                is not None,
                is_denied=bool(_NOT.search(before) or _NOT_AFTER.match(after)),
                before=text[end : match.start()],
                after=after,
            )
        )
        end = match.end()
    return found


def _value(match: re.Match[str]) -> Fraction | None:
    """The value of a match without its sign."""
    if len(match[0]) > MAX_DIGITS:
        return None
    if match["bottom"] is not None:
        whole, top, bottom = (int(match[name]) for name in ("mixed", "top", "bottom"))
        return whole + Fraction(top, bottom) if top < bottom else None
    if match["denominator"] is not None:
        below = Fraction(match["denominator"])
        return Fraction(match["numerator"]) / below if below else None
    decimals = (match["decimals"] or match["dotted_decimals"] or "").replace(",", ".")
    if match["grouped"] is not None:
        value = Fraction(re.sub(r"\D", "", match["grouped"]) + decimals)
    elif match["dotted"] is not None:
        value = Fraction(match["dotted"].replace(".", "") + decimals)
    else:
        value = Fraction(match["plain"])
    if match["scale"] is not None:
        return value * Fraction(10 ** _SCALES[match["scale"]])
    base = value if match["power"] is not None else Fraction(10)
    exponent = int(match["exponent"] or match["ten"] or match["power"] or 0)
    if abs(exponent) * (len(match[0]) if match["power"] else 1) > MAX_DIGITS:
        return None
    if exponent < 0 and not base:
        return None
    power = Fraction(base**exponent)
    return power if match["power"] is not None else value * power


def _signed(value: Fraction | None, before: str) -> Fraction | None:
    """The value with the sign that stands before it; ``None`` if that may be a dash."""
    sign = _SIGN.search(before)
    if sign is None or value is None:
        return value
    context = before[: sign.start()]
    if sign[1].isalpha():
        return -value
    if sign[2] and sign[1] == "–" and context.strip():
        return value  # an en dash between words
    if re.search(rf"[{_ALPHABETIC}0-9]\Z", context) or (
        sign[2] and not _SIGN_AFTER_WORD.search(context)
    ):
        return None
    return value if sign[1] == "+" else -value
