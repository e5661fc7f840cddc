"""The letter that an answer names, as models write it: ``b``, ``(c)``, ``Answer: I think it is C``.

What is not clear names no letter: several letters (``A or B``), a denied one (``not A``), the
article (``A leaf``), a letter within a name (``vitamin A``). A wrong answer that counts as right
does more harm than a right one that does not.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from search_cluster.tasks.grading.boxed import is_box_cut, last_boxed, own_answer

_CONTEXT = 120
"""The number of characters around a letter that decide what it is."""
_LATEX = re.compile(
    r"\\(?:text|mbox|boxed|fbox|math(?:rm|bf|it|sf)|text(?:bf|it|rm))\s*\{([^{}]*)\}"
)
_MARKUP = re.compile(
    r"</?\w+>|<\|\w+\|>|\*\*|__|[`$#]|\\[()\[\]]|^\s*[-*>]\s+(?=\S)|(?<!\S)[*_](?=\S)|(?<=\S)[*_](?!\S)",
    re.MULTILINE,
)
_LETTER = re.compile(
    r"(?<![A-Za-z0-9°'+/&-])(?<![A-Za-z]\.)(?<!\bMr\. )(?<!\bMs\. )(?<!\bDr\. )(?<!\bMrs\. )"
    r"(?P<opening>[(\[{\"]?)(?P<letter>[A-Za-z])"
    r"(?P<closing>[)\]}\"]?)(?![A-Za-z0-9'+#/]|[-&]\w|\.[A-Za-z](?![A-Za-z])|°)"
)
_WORD_BEFORE = (
    r"(?:answers?|ans|correct|right|solution|response|final|choose|chose|choosing|pick|select|"
    r"option|choice|letter|label|the|is|are|was|be|been|would|should|must|will|could|might|may|can|"
    r"has|have|to|that|this|it|it's|its|that's|i|i'd|i'm|i'll|we|you|think|believe|guess|say|suppose|"
    r"expect|go|going|with|for|of|question|only|most|likely|probably|definitely|clearly|obviously|"
    r"perhaps|maybe|possibly|surely|certainly|therefore|thus|hence|so|here|one|my|our|am|indeed|"
    r"either|best|but|ok|okay|sure|yes|no|well)"
)
_LEAD_IN = re.compile(
    rf"(?:(?<![\w']){_WORD_BEFORE}(?![\w'])|[\s:=,\"(\[→⇒]|->|=>|-(?=\s))*\Z", re.IGNORECASE
)
"""The words that may stand between ``answer`` and its letter."""
_DECLARES = re.compile(
    r"\b(?:answers?|ans|correct|right|solution|response|final|choose|chose|choosing|pick|select"
    r"|go(?:ing)? with)\b",
    re.IGNORECASE,
)
_LEADS_TO = re.compile(
    r"\b(?:is|be|it's|that's|but|ok|okay|sure|yes|no|well|so|therefore|thus|hence|think|guess|say|believe|probably|maybe|perhaps"
    r"|definitely|option|choice|letter|label)\b|[:=→⇒]|->|=>",
    re.IGNORECASE,
)
_DECLARED_AFTER = re.compile(
    r"\s+(?:is|was|would be|must be|should be|seems|looks)\s+(?:\w+ly\s+)?(?:(?:the|my|our)\s+)?"
    r"(?:right|correct|answer|best|only|true|final|most)\b",
    re.IGNORECASE,
)
_END_OF_LETTER = re.compile(r"\s*(?:\Z|[.,;:!?)\]}\"\n—–(=。、]|-\s)")
_VERB_AFTER = re.compile(
    r"\s+(?:is|was|are|because|since|as|it|that|which|due|for|and|or|but|not|seems|looks|would|"
    r"must|should|can|cannot|can't|isn't|so|therefore|nor|instead|rather|here|with|by)\b",
    re.IGNORECASE,
)
"""What follows a letter, but neither the article nor a name such as ``B cells``."""
_DENIAL = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|except|excludes?|excluding|eliminate[sd]?|rules? out"
    r"|ruled out|than|all but|anything but|instead of|unlike)\b"
    r"|(?<!is )(?<!are )\b(?:wrong|incorrect)\b|n't\b)",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(r"\bnot only\b", re.IGNORECASE)
_DENIED = re.compile(
    rf"(?:(?<![\w']){_WORD_BEFORE}(?![\w'])|[\s:/\"()\[\]])*"
    r"(?:\b[A-Za-z]\b[\s,/\"()\[\]]*(?:(?:and|or|nor)\b)?[\s\"()\[\]]*)*",
    re.IGNORECASE,
)
"""What may stand between a denial and the letter that it denies."""
_DENIED_AFTER = re.compile(
    r"\s*:?\s*(?:,?\s*which\s+)?(?:(?:is|are|was|would be|can be|must be|should be|seems|looks"
    r"|has been)\s+(?:\w+ly\s+|also\s+|just\s+)?)?(?:(?:wrong|incorrect|false|not|never|ruled out"
    r"|eliminated|excluded|impossible|cannot)\b|(?:ca|is|was|does|wo|could)n't\b)",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[.;!?\n]|,\s*(?:but|so|and)?\s*(?:it|the|i|my)\b"
    r"|(?<!all )(?<!anything )\bbut\b|\b(?:so|hence|therefore|thus)\b",
    re.IGNORECASE,
)
_OFFERED = re.compile(
    r"\s*(?:[,;?]?\s*\b(?:or|and|nor|vs|versus)\b|[,/&;?]|[-–]\s)\s*(?:(?:maybe|perhaps|possibly)\s+)?",
    re.IGNORECASE,
)
"""What stands between letters that are offered together: ``A or B``."""
_ABROAD = re.compile(
    r"\bantwort(?: (?:ist|lautet|wäre))?\b|\b(?:bonne )?réponse(?: correcte)?(?: est)?\b(?! n)"
    r"|\brespuesta(?: correcta)?(?: es)?\b(?! no)|\bresposta(?: correta)?(?: é)?\b(?! não)"
    r"|\brisposta(?: corretta)?(?: è)?\b(?! non)|(?<![不没沒非])(?:答案(?:应该|應該)?[是为為选選]?"
    r"|正解は|答えは|[选選](?:择|擇|項|项|択肢)?)(?=[\s:(\"]*[A-Za-z](?![A-Za-z]))",
    re.IGNORECASE,
)
"""``The answer is`` in other languages."""
_CORRECTS = re.compile(
    r"\b(?:no,? wait|wait,? no|wait|actually|scratch that|correction|on second thought)\b[\s,:.-]*",
    re.IGNORECASE,
)
"""What takes back what stands before it."""
_REASON = re.compile(r"\b(?:because|since|whereas|unlike|as opposed to)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mention:
    """A letter that stands alone in an answer."""

    letter: str
    start: int
    end: int
    leads: bool
    """Whether a line starts with it, as a label."""
    is_marked: bool
    """Whether brackets make it a label."""
    is_declared: bool
    """Whether the text says that it is the answer: ``the answer is B``."""
    is_led_to: bool
    """Whether the words before it lead to a letter: ``it is B``."""
    is_denied: bool
    """Whether the text says that it is not this one."""
    may_be_cut: bool
    """Whether it may be the beginning of a word at which the answer was cut off."""


def extract_letter(text: str) -> str | None:
    r"""The one letter that an answer names; ``None`` if it names none, or not clearly one.

    What it boxes decides, else what it declares (``The answer is C``), else the only label in it,
    such as the one that it starts with (``B) iron``).
    """
    first_answer = own_answer(text)
    if first_answer != text and extract_letter(first_answer) is not None:
        text = first_answer
    if is_box_cut(text):
        return None
    boxed = last_boxed(text)
    text = _after_correction(_plain(text if boxed is None else boxed))
    whole = re.fullmatch(r"[^\w°]*([A-Za-z])(?![-+#°])[^\w+#]*", text)
    if whole:
        return whole[1].upper()
    mentions = list(_mentions(text))
    affirmed = [mention for mention in mentions if not mention.is_denied]
    if len(affirmed) > 1:
        affirmed = [mention for mention in affirmed if not mention.may_be_cut]
    reason = _REASON.search(text)
    reason_start = reason.start() if reason else len(text)
    first = {mention.letter for mention in affirmed if mention.leads and mention.start == 0}
    declared = {mention.letter for mention in affirmed if mention.is_declared}
    lines = {mention.letter for mention in affirmed if mention.leads}
    others = {
        mention.letter
        for mention in affirmed
        if mention.is_marked or mention.is_led_to
        if mention.start < reason_start
    }
    # Of a list of all choices, no label is the answer because it comes first.
    named = declared | (first if len(lines) == 1 else set()) if declared else lines | others
    if len(named) != 1 or named & _offered(text, mentions):
        return None
    return named.pop()


def _plain(text: str) -> str:
    """The text in ordinary letters, without the Markdown and LaTeX around them."""
    text = unicodedata.normalize("NFKC", text)
    text = text.translate({ord("“"): '"', ord("”"): '"', ord("’"): "'", ord("‘"): "'"})
    for _ in range(3):  # one in another
        text = _LATEX.sub(r" \1 ", text)
    text = re.sub(r"(?<!\w)'([A-Za-z])'(?!\w)", r'"\1"', _MARKUP.sub(" ", text))
    text = re.sub(r"(?<=\S) +(?=[.,;:!?)])", "", re.sub(r"[^\S\n]+", " ", text))
    text = re.sub(r"\s*。", ". ", _ABROAD.sub(" the answer is ", text))
    return re.sub(r" ?\n ?", "\n", re.sub(r" +", " ", text)).strip()


def _after_correction(text: str) -> str:
    """What follows the last correction, if letters are named both before and behind it."""
    for match in reversed(list(_CORRECTS.finditer(text))):
        behind = text[match.end() :]
        if any(not item.is_denied for item in _mentions(text[: match.start()])) and any(
            not item.is_denied for item in _mentions(behind)
        ):
            return behind
    return text


def _mentions(text: str) -> Iterator[_Mention]:
    numbered = re.match(r"[A-Za-z]\. ", text) is not None
    for match in _LETTER.finditer(text):
        letter, start, end = match["letter"], match.start(), match.end()
        before, after = text[max(0, start - _CONTEXT) : start], text[end : end + _CONTEXT]
        closing = match["closing"]
        is_marked = bool(match["opening"] and closing) or (
            closing == ")" and match["opening"] == "" and before.count("(") <= before.count(")")
        )
        ends = bool(closing) or _END_OF_LETTER.match(after) is not None
        if not ends and (letter in "Ii" or not _VERB_AFTER.match(after)):
            continue  # the article, the pronoun, or a part of a name
        lead_in = _lead_in(before)
        is_declared = _DECLARES.search(lead_in) is not None
        is_led_to = _LEADS_TO.search(lead_in) is not None or (
            re.search(r"[.;!?] \Z", before) is not None and re.match(r"\W*\Z", after) is not None
        )
        leads = not before or before.endswith("\n")
        if letter.islower() and not is_marked:
            if not (leads or is_declared or is_led_to) or not ends:
                continue
            if letter == "a" and not after and not re.search(r"[:=\"(]\s*\Z", lead_in):
                continue  # perhaps an article whose noun was cut off
        if numbered and start and re.match(r"\. \S", after) and before.endswith((" ", "\n")):
            is_marked = True
        yield _Mention(
            letter=letter.upper(),
            start=start,
            end=end,
            leads=leads,
            is_marked=is_marked,
            is_declared=is_declared or _DECLARED_AFTER.match(after) is not None,
            is_led_to=is_led_to,
            is_denied=_is_denied(before, after),
            may_be_cut=letter.islower() and not (is_marked or is_declared or leads or after),
        )


def _lead_in(before: str) -> str:
    match = _LEAD_IN.search(before)
    return match[0] if match else ""


def _is_denied(before: str, after: str) -> bool:
    clause = _NO_DENIAL.sub("", _CLAUSE_END.split(before)[-1])
    denials = list(_DENIAL.finditer(clause))
    return bool(
        (denials and _DENIED.fullmatch(clause, denials[-1].end())) or _DENIED_AFTER.match(after)
    )


def _offered(text: str, mentions: list[_Mention]) -> set[str]:
    """The letters that the text offers beside another one."""
    return {
        letter
        for one, other in pairwise(mentions)
        if one.letter != other.letter and not (one.is_denied or other.is_denied)
        if _OFFERED.fullmatch(text, one.end, other.start)
        for letter in (one.letter, other.letter)
    }
