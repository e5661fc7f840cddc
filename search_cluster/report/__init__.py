"""The report of a run: HTML, tables and figures, and the summary on a terminal."""
