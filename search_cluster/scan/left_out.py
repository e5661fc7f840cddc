"""What is said of the questions of a scan that count for nobody."""

from collections.abc import Sequence

from search_cluster.scan.result import LeftOut


def left_out_line(left_out: Sequence[LeftOut]) -> str:
    """Which questions count for nobody, and why; empty if all count."""
    if not left_out:
        return ""
    counts = [
        f"{item.num_questions:,} of {item.num_asked:,} questions of {item.split}"
        for item in left_out
    ]
    most = max(left_out, key=lambda item: item.num_questions)
    return (
        f"The plain model could not answer {', '.join(counts)}, which count for neither it nor a "
        f"path. Most often: {most.cause}"
    )
