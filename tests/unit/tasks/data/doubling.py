"""A user's own task in one file."""

from search_cluster.tasks.graders import grade_number
from search_cluster.tasks.simple import generate_task
from search_cluster.tasks.user_rows import rows_source

ROWS = [{"question": f"What is twice {n}?", "answer": str(2 * n)} for n in range(200)]

TASK = generate_task(
    name="doubling",
    description="twice a number",
    chat="{question} Answer with the number only.",
    source=rows_source(ROWS),
    grader=grade_number,
    grader_version="1",
    max_new_tokens=8,
)
