"""What a dataclass says of its fields: texts, flags and defaults."""

import ast
import inspect
import re
import sys
from dataclasses import MISSING, Field
from functools import cache
from itertools import pairwise
from typing import Any


@cache
def field_texts(config: type) -> dict[str, str]:
    """The first paragraph of the string under each field of a dataclass; empty without a source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[config.__module__]))
    except OSError:
        return {}
    texts: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == config.__name__:
            for item, after in pairwise(node.body):
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    texts[item.target.id] = _text(after)
    return texts


def _text(node: ast.stmt) -> str:
    """The first paragraph of a string that stands alone, else nothing."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return ""
    return " ".join(inspect.cleandoc(str(node.value.value)).partition("\n\n")[0].split())


def help_and_unset(text: str) -> tuple[str, str]:
    """Help without its marks of code, and what ``None`` stands for, if the text says it."""
    help_, _, unset = text.partition("``None``:")
    plain = re.sub(r"`+", "", help_).strip().rstrip(";").removesuffix(".") + "." if help_ else ""
    return plain, re.sub(r"`+", "", unset).strip().removesuffix(".")


def flag_of(item: Field[Any]) -> str:
    """The flag of a field that has one."""
    flag: str = item.metadata.get("flag") or "--" + item.name.replace("_", "-")
    return flag


def default_of(item: Field[Any]) -> Any:
    """The default of a field; ``MISSING`` if it has none."""
    return item.default if item.default_factory is MISSING else item.default_factory()
