"""A user's task of two files, a TOML and its rows, to be edited."""

import json
from pathlib import Path


def write_own_task(folder: Path, *, wrong: int | None = None, num_questions: int = 40) -> Path:
    """Questions of two choices; the right one of row ``wrong``, if it is given, is the other."""
    rows = []
    for number in range(num_questions):
        answer = (number + (number == wrong)) % 2
        question = f"what is the number of the city {number}"
        rows.append({"question": question, "choices": ["the one", "the two"], "answer": answer})
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = folder / "own.toml"
    task.write_text(
        'name = "own"\ndescription = "made up"\nkind = "choice"\ndata = "own.jsonl"\n'
        "answer_base = 0\n"
        '[prompt]\nchat = "{question}"\nplain = "Q: {question}\\nA:"\n'
    )
    return task
