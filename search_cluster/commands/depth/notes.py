"""What a reader of a study should know before trusting it."""

from search_cluster.commands.depth.findings import Findings

MIN_POSITIONS = 2000
"""Positions with fewer of which intervals are wide."""
MIN_QUESTIONS = 100


def study_notes(found: Findings) -> tuple[str, ...]:
    """Warnings, a line each."""
    notes = []
    text, questions = found.text, found.questions
    num = text.guesses[0].early_share.n
    if num < MIN_POSITIONS:
        notes.append(f"Only {num:,} positions of text were read: intervals are wide.")
    if questions.questions < MIN_QUESTIONS:
        notes.append(f"Only {questions.questions} questions were asked: intervals are wide.")
    for bucket in text.buckets[:1]:
        if bucket.num_blank or bucket.num_digits:
            notes.append(
                f"Of the {bucket.num_tokens} most frequent tokens {bucket.num_blank} are white "
                f"space and {bucket.num_digits} digits."
            )
    low = questions.accuracy.low
    if low is not None and low <= questions.chance:
        notes.append(
            f"On {questions.task} the model can't be told from guesses, so that depths of its "
            "answers say nothing about knowing."
        )
    for race in questions.races:
        accuracy = race.accuracy.low[-1]
        if race.options == "letters" and accuracy is not None and accuracy <= race.chance:
            notes.append(
                "At the end letters are right no oftener than guesses: read the letters' curves as "
                "form, not as knowledge; texts are what this product scores."
            )
            break
    check = questions.prefix_check
    if check is not None and check.mismatches:
        notes.append(
            f"The logit lens and the executed prefix paths differ on {check.mismatches} of "
            f"{check.pairs:,} pairs beyond the tie threshold: don't trust depths of verdicts."
        )
    return tuple(notes)
