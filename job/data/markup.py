"""HTML taken out of texts: tags, comments, scripts and style sheets separate words, entities are the characters that they name.

What people write themselves, such as <3, AT&T or a<b, is none: a tag is one of an element that HTML knows. The SavedModel
does the same with the same patterns (job/network/tokenizer.py), so they are such as RE2 and Python read alike.
Source: https://html.spec.whatwg.org/multipage/indices.html#elements-3
"""

import html
import re
from html.entities import html5

_ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body br button canvas"
    " caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption"
    " figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label"
    " legend li link main map mark marquee menu meta meter nav nobr noframes noscript o:p object ol optgroup option output p"
    " param picture pre progress q rp rt ruby s samp script search section select slot small source span strike strong style"
    " sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr"
)


def _in_any_case(text: str) -> str:
    """A pattern for these ASCII letters in upper or lower case; what ignores case by itself does so beyond ASCII, too."""
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in text)


_SPACE = r"[ \t\n\v\f\r\x1f]"
# Attributes have a value, as words between < and > are none: <i think so>. So written, it takes linear time.
_ATTRIBUTES = rf"(?:{_SPACE}[^<>=]*=[^<>]*|{_SPACE}*/?)"
_ANY_ELEMENT = "|".join(_in_any_case(name) for name in sorted(_ELEMENTS.split(), reverse=True))

PAIRS = (
    ("<!--", "-->"),
    *((rf"<{name}{_ATTRIBUTES}>", rf"</{name}{_SPACE}*>") for name in map(_in_any_case, ("script", "style"))),
)
"""Patterns of what opens and what closes something that is no text: it goes, with all that stands between."""
TAG = rf"</?(?:{_ANY_ELEMENT}){_ATTRIBUTES}>|<![dD][oO][cC][tT][yY][pP][eE][^<>]*>"
NAMED, DECIMAL, HEXADECIMAL = "&[A-Za-z][0-9A-Za-z]{1,31};", "&#[0-9]{1,7};", "&#[xX][0-9A-Fa-f]{1,6};"
"""The kinds of entities: a name, or a code point of so many digits."""
ENTITY = f"{NAMED}|{DECIMAL}|{HEXADECIMAL}"
LAYERS = 2
"""How many times HTML is taken out of a text: many are escaped once more on their way through a file or a database."""

_PAIRS = [(re.compile(opening), re.compile(closing)) for opening, closing in PAIRS]
_TAG, _ENTITY = re.compile(TAG), re.compile(ENTITY)
_FOUND = re.compile(f"{TAG}|<!--|{ENTITY}")


def first_html(text: str) -> str | None:
    """The first tag or entity, or the beginning of a comment; None where there is none."""
    found = _FOUND.search(text) if "<" in text or "&" in text else None
    return found[0] if found else None


def without_html(text: str) -> str:
    """A text without its HTML: `without_html("<p>It&#39;s<br />great</p>")` is `" It's great "`."""
    for _ in range(LAYERS):
        if "<" in text:
            for opening, closing in _PAIRS:
                text = _without_pairs(text, opening, closing)
            text = _TAG.sub(" ", text)
        if "&" in text:
            text = _ENTITY.sub(lambda found: character(found[0]), text)
    return text


def _without_pairs(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """What the pattern `opening.*?closing` would leave, which takes quadratic time where nothing closes."""
    kept, end = [], 0
    while (first := opening.search(text, end)) and (last := closing.search(text, first.end())):
        kept.append(text[end : first.start()])
        end = last.end()
    return " ".join([*kept, text[end:]])


def character(entity: str) -> str:
    """What an entity such as `&amp;`, `&#39;` or `&#x27;` stands for; itself where HTML knows none of this name."""
    return html.unescape(entity) if entity.startswith("&#") else html5.get(entity[1:], entity)


def exceptions() -> dict[str, str]:
    """What the entities stand for that are not simply the character of a code point, with decimal numbers: `&amp;`, `&#150;`.

    All names, and the code points of control characters and of what is no character.
    """
    named = {f"&{name}": value for name, value in html5.items() if name.endswith(";")}
    ends = [plane + last for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)]
    numbers = (*range(0xA0), *range(0xFDD0, 0xFDF0), *ends)
    return named | {f"&#{number};": html.unescape(f"&#{number};") for number in numbers}
