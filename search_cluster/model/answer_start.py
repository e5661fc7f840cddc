"""Where an answer begins: what a chat template writes between the question and the answer to come.

It is right if it opens the answer's turn and nothing else. A section such as ``<think>`` that it
leaves open is none of the answer, and is known by its name, by the tag that closes it, or by
standing in front of answers to come and not of given ones.
"""

import re

_TAG = re.compile(
    r"(<\|?|\[|◁) ?(?P<name>[A-Za-z][\w:-]*)(?: [^<>\[\]◁▷\n]*)?(\|?>|\]|▷)"  # <think a="b">
)
_CLOSED = re.compile(
    r"(?P<begin><\|?|\[|◁) ?(?P<name>[A-Za-z][\w:-]*).*?(?P=begin)/ ?(?P=name)(?:\|?>|\]|▷)?",
    re.DOTALL,
)
_REASONING = re.compile(
    r"think|thought|reason|analy|scratch|reflect|deliberat|plan|monolog|(^|_)cot($|_)|思|推理"
)
_ANSWER_SECTIONS = re.compile(
    r"assistant|answer|response|reply|output|model|bot|final|inst|turn|solution"
)
_SIDES = frozenset({"start", "begin", "open", "end", "close", "of", ""})
_MAX_SHOWN = 60


def open_section(beginning: str, usual: str | None, known: str) -> str:
    """The section that is open where an answer begins, by the tag that opens it, or empty.

    Args:
        beginning: what the template writes between a question and the answer to come.
        usual: what it writes between a question and an answer that is given; ``None`` if unknown.
        known: the text of the template and of the vocabulary's added tokens.
    """
    found = ""
    for tag in _TAG.finditer(beginning):
        name = tag["name"].lower()
        closing = f"{tag[1]}/{tag['name']}"
        if _ends_a_section(name):
            found = "" if _stem(name) == _stem(found.lower()) else found
            continue
        is_section = _REASONING.search(name) or (
            closing in known and not _ANSWER_SECTIONS.search(name)
        )
        if is_section and closing not in beginning[tag.end() :]:
            found = tag[0]
    if found:
        return found
    prelude = prelude_of(beginning, usual)
    reasoning, answer = (
        max((match.end() for match in words.finditer(prelude.lower())), default=0)
        for words in (_REASONING, _ANSWER_SECTIONS)
    )
    return prelude if reasoning > answer else ""


def prelude_of(beginning: str, usual: str | None) -> str:
    """What is written in front of an answer to come and not of a given one.

    Sections that it closes are left out. It is one line, cut if it is long, and empty if it holds
    no letter.
    """
    return _beyond(usual, beginning)


def missing_header(beginning: str, usual: str | None) -> str:
    """What stands in front of a given answer and is missing in front of an answer to come."""
    return "" if usual is None else _beyond(beginning, usual)


def _beyond(known: str | None, text: str) -> str:
    if known is None or not text.startswith(known.rstrip()):
        return ""
    rest = " ".join(_CLOSED.sub("", text[len(known.rstrip()) :]).split())
    ends = [tag.end() for tag in _TAG.finditer(rest) if _ends_a_section(tag["name"].lower())]
    rest = rest[max(ends, default=0) :].strip()
    return rest[-_MAX_SHOWN:] if any(map(str.isalnum, rest)) else ""


def is_answer(text: str) -> bool:
    """Whether a text in front of an answer says that what follows is one."""
    return _ANSWER_SECTIONS.search(text.lower()) is not None


def _ends_a_section(name: str) -> bool:
    return name.startswith(("end", "close")) or name.endswith(("_end", "-end"))


def _stem(tag: str) -> str:
    """The name of a tag without what says on which side of its section it stands."""
    return "".join(part for part in re.split(r"[^a-z0-9]+", tag) if part not in _SIDES)
