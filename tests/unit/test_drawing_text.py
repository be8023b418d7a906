"""Text cut and padded to exactly its width."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fedlora_tui.console.drawing import text
from fedlora_tui.console.drawing.glyphs import ASCII, UNICODE

ANY = st.one_of(st.text(max_size=40), st.text("ab語テ👩‍🔧️é́", max_size=30))
GLYPHS = st.sampled_from([UNICODE, ASCII])


def test_cut_end():
    assert text.cut_end("the patient", 11) == "the patient"
    assert text.cut_end("the patient", 6) == "the p…"
    assert text.cut_end("the patient", 6, ASCII) == "the .."
    assert text.cut_end("語語語", 4) == "語…"
    assert text.cut_end("abc", 0) == ""


def test_cut_middle_keeps_the_end_that_tells_names_apart():
    assert text.cut_middle("telecom-support-2", 15) == "telecom-su…rt-2"
    assert text.cut_middle("pharmacy-1", 15) == "pharmacy-1"
    assert text.cut_middle("pharmacy-12", 3) == "p…2"


def test_padding():
    assert text.right("7.3", 6) == "   7.3"
    assert text.left("late", 6) == "late  "
    assert text.left("語語語", 4) == "語… "


@given(string=ANY, width=st.integers(-2, 50), glyphs=GLYPHS)
def test_never_wider_than_asked(string, width, glyphs):
    assert cell_len(text.cut_end(string, width, glyphs)) <= max(width, 0)
    assert cell_len(text.cut_middle(string, width, glyphs)) <= max(width, 0)


@given(string=ANY, width=st.integers(0, 50), glyphs=GLYPHS)
def test_padded_text_is_exactly_as_wide(string, width, glyphs):
    assert cell_len(text.right(string, width, glyphs)) == width
    assert cell_len(text.left(string, width, glyphs)) == width
