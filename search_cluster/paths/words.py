"""How paths are written, in a sentence: said where the first of them stands."""


def path_words(num_layers: int) -> str:
    """How to read a path of a model of so many layers; empty for one of fewer than three."""
    if num_layers < 3:
        return ""
    last, out = num_layers - 1, num_layers // 2
    behind = f"{out + 1}-{last}" if out + 1 < last else str(last)
    before = f"0-{out - 1}" if out > 1 else "0"
    return (
        "A path names the layers that run, in order, counted from 0: "
        f"0-{last} is the plain model, {before},{behind} leaves out layer {out}, and "
        f"{before},{out},{out},{behind} runs it twice."
    )


EDIT_WORDS = (
    "Paths are named by what they change, layers counted from 0: skip 17-18 leaves out layers 17 "
    "and 18, repeat 13 runs layer 13 twice in a row, and all other layers run as ever."
)
"""How to read the edits of a scan's path."""
