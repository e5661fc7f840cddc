import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from support.html_page import HOSTILE, HtmlPage

from search_cluster.report.lens.html import heat_map, settled_rows, write_lens_page
from search_cluster.report.lens.terminal import print_figures, print_readings
from search_cluster.report.lens.view import LensRow, LensView


def row(place: int, layer: int | None, top: tuple[str, ...], ranks: tuple[int, ...]) -> LensRow:
    number = len(top)
    return LensRow(
        place=place,
        layer=layer,
        depth=0 if layer is None else layer + 1,
        top=top,
        top_probability=(0.5,) * number,
        entropy=(1.25,) * number,
        divergence=tuple(float(rank) for rank in ranks),
        final_rank=ranks,
        next_rank=(*(3,) * (number - 1), None),
    )


def view(tokens: tuple[str, ...] = ("a", " b", "\n")) -> LensView:
    number = len(tokens)
    return LensView(
        model="tiny",
        lens="lenses/tiny",
        kind="ridge",
        path="0,2",
        source=HOSTILE,
        tokens=tokens,
        rows=(
            row(0, None, (HOSTILE,) * number, (9,) + (0,) * (number - 1)),
            row(1, 0, ("x",) * number, (0, 4) + (0,) * (number - 2)),
            row(2, 2, (" y",) * number, (0,) * number),
        ),
    )


def printed(width: int, last: int | None = None, tokens: tuple[str, ...] = ("a", " b")) -> str:
    stream = io.StringIO()
    print_readings(Console(file=stream, width=width), view(tokens), last=last)
    return stream.getvalue()


def test_the_last_state_is_on_top_and_tokens_show_their_spaces() -> None:
    lines = printed(120).splitlines()
    assert lines[0].startswith("ridge lens of tiny along 0,2")
    assert lines[1].split() == ["state", "a", "␣b"]
    assert [line.split()[0] for line in lines[2:5]] == ["2", "1", "embedding"]
    assert "*␣y" in lines[2]


def test_a_narrow_terminal_shows_the_last_positions_and_says_so() -> None:
    tokens = tuple(f"t{number}" for number in range(30))
    out = printed(60, tokens=tokens)
    assert "t29" in out
    assert "t10 " not in out
    assert "positions 27..29 of 30" in out
    assert "t10 " in printed(60, last=30, tokens=tokens)


def test_texts_of_others_are_text_in_the_page(tmp_path: Path) -> None:
    write_lens_page(tmp_path / "page.html", view())
    page = HtmlPage()
    page.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert len(page.scripts) == 4  # plotly, the page's own, two plots
    assert "alert(1)" in page.words


def test_the_heat_map_has_a_cell_for_each_state_and_position() -> None:
    figure = json.loads(heat_map(view()).figure.to_json())
    [trace] = figure["data"]
    assert trace["y"] == ["embedding", "1 (layer 0)", "2 (layer 2)"]
    assert trace["z"] == [[9.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
    assert trace["text"][2] == ["␣y"] * 3
    hover = trace["customdata"][1][1]
    for words in ("position 1 ␣b", "says x (50.0%)", "KL to the end 4.00", "entropy 1.25",
                  "rank of the end's token 5", "rank of the text's next token 4"):  # fmt: skip
        assert words in hover
    assert "next token" not in trace["customdata"][1][2]
    assert "<script" not in json.dumps(trace)


def test_a_position_settles_where_the_end_s_token_stays_likeliest() -> None:
    assert [item["since"] for item in settled_rows(view())] == [
        "1 (layer 0)",
        "2 (layer 2)",
        "embedding",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_figures_are_a_row_per_depth(known: bool) -> None:
    stream = io.StringIO()
    print_figures(
        Console(file=stream, width=120),
        {
            "kind": "ridge",
            "held_out_tokens": 1000,
            "divergence": [1.0, 0.5, 0.0],
            "divergence_logit": [4.0, 2.0, 0.0],
            "divergence_one_off": {"before": [None, 0.75, 0.25], "after": [2.0, None, None]},
            "top1": [0.25, 0.5, 1.0],
            "top1_logit": [0.0, 0.25, 1.0],
            "depths_with_translator": 2,
            "depths_lower_than_logit": 2,
            "mean_cut": 0.75,
            "mean_cut_low": 0.7 if known else None,
            "mean_cut_high": 0.8 if known else None,
        },
    )
    out = stream.getvalue()
    assert "75.0%" in out
    assert ("95 % interval 70.0% to 80.0%" in out) is known
    assert "lower than the logit lens at 2 of 2 depths" in out
