"""The sentence that says how to read paths is true of the paths that it names."""

import re

import pytest

from search_cluster.paths.codec import parse_path
from search_cluster.paths.words import path_words


@pytest.mark.parametrize("num_layers", [3, 4, 5, 6, 30])
def test_the_paths_of_the_sentence_are_what_it_says(num_layers: int) -> None:
    plain, short, long = (
        parse_path(text, num_layers)
        for text in re.findall(r"\d[\d,-]*(?= (?:is|leaves|runs))", path_words(num_layers))
    )
    (out,) = re.findall(r"leaves out layer (\d+)", path_words(num_layers))
    assert plain.is_identity
    assert [short.counts()[int(out)], long.counts()[int(out)]] == [0, 2]
    assert (len(short), len(long)) == (num_layers - 1, num_layers + 1)
