"""HTML is taken out of texts, and what is none stays."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.data.markup import first_html, without_html
from job.data.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>It&#39;s<br />great</p>", " It's great "),
        ("Good.<br><br/>Very.<BR\n>", "Good.  Very. "),
        ("Q&amp;A &quot;caf&eacute;&quot;&nbsp;&hellip;", 'Q&A "café"\xa0…'),
        ("don&#x27;t &#8212; I&#146;m &#150; &#X41;", "don't — I’m – A"),
        ('<a href="x?a>b">here</A> <img src=a.png/>', ' b">here   '),
        ("<!-- [if mso]> so <b> ... --> read <style type='text/css'>p { color: red }</style>this", "  read  this"),
        ("<script>film()</script ><SCRIPT src='a'></SCRIPT>!", "  !"),
        # Escaped once more on the way.
        ("&lt;br /&gt;&amp;amp;&amp;quot;", ' &"'),
        ("<!doctype html><html><o:p></o:p>", "    "),
        ("<font\tcolor=red\n>", " "),
    ],
)
def test_tags_separate_words_and_entities_are_characters(text: str, plain: str) -> None:
    assert first_html(text) is not None
    assert without_html(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "I <3 it", "AT&T", "a < b > c", "if x<y and y>z", "&c.", "&nosuch;", "<Titanic>", "<i think so>", "<-- look", "a <!-- no end",
        "&#;", "&#x;", "&#12345678;", "R&D; yes", "<script> alert", "&amp", "&;", "<>", "</>", "< br>", "",
    ],
)  # fmt: skip
def test_what_people_write_themselves_stays(text: str) -> None:
    assert without_html(text).split() == re.sub("<script>", " ", text).split()


class _Reference(HTMLParser):
    """The standard library's own reading."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.said.append(data)


_WORDS = st.lists(
    st.sampled_from(["good", "bad", "caf&eacute;", "it&#39;s", "a &lt; b", "R&amp;D", "&#8220;so&#x201D;", "x"])
).map(" ".join)
_BLOCKS = st.recursive(
    _WORDS,
    lambda inner: (
        st.tuples(
            st.sampled_from(["p", "DIV", "b", "span class='x'", 'a href="http://x/?a=1&b=2"', "h1", "td"]), st.lists(inner)
        ).map(lambda found: f"<{found[0]}>{' '.join(found[1])}</{found[0].split()[0]}>")
        | st.sampled_from(["<br>", "<br />", "<hr/>", "<img src=x>", "<!-- no -- word -->", "<script>if (a) b()</script>"])
    ),
)


@given(_BLOCKS)
def test_the_words_are_those_that_the_standard_library_s_parser_finds(text: str) -> None:
    reference = _Reference()
    reference.feed(text)
    reference.close()
    assert tokenize(without_html(text)) == tokenize(" ".join(reference.said))


@given(st.text(alphabet="<>&;!-/= \n#xab1brscipt", max_size=60))
def test_nothing_is_added_and_without_html_nothing_is_changed(text: str) -> None:
    plain = without_html(text)
    if first_html(text) is None:
        assert plain == text
    assert len(plain) <= len(text)


@pytest.mark.parametrize("piece", ["<script>", "<!--", "<a ", "<a = ", "<b\t=", "&#", "&#x", "<", "&a", "<style x=>"])
def test_time_grows_with_the_text_alone(piece: str) -> None:
    """Of a pattern that backtracks, so long a text would take hours."""
    began = time.process_time()
    without_html(piece * 100_000)
    assert time.process_time() - began < 20
