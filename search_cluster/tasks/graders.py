"""The graders that a user's own task may name.

They are written in `search_cluster.tasks.grading.graders`.
"""

from search_cluster.tasks.grading.graders import grade_exact, grade_letter, grade_number
from search_cluster.tasks.grading.letters import extract_letter
from search_cluster.tasks.grading.numbers import last_number

__all__ = ["extract_letter", "grade_exact", "grade_letter", "grade_number", "last_number"]
