"""How pages look: the colours, spaces and type of all of them, and the one style of those that are files of their own."""

from __future__ import annotations

import html
import re
from itertools import pairwise

TOKENS = """:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #c9d1d9; --head: #f3f5f7;
  --yes: #0b6b2e; --no: #6a737d; --when: #7a4b00; --bad: #a40e26; --link: #0a58ca;
  --type: 1rem/1.5 system-ui, sans-serif; --s: 0.5rem; --m: 1rem; --l: 2rem;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f1419; --ink: #e6edf3; --soft: #a5b0bb; --line: #3a434d; --head: #1b222a;
    --yes: #6fd58b; --no: #9aa5b1; --when: #f0b65a; --bad: #ff8a94; --link: #82b8ff;
  }
}
"""
"""Colours in light and dark, spaces and type, as variables of CSS: of the console's pages and of pages that are files."""

_LIGHT = TOKENS[TOKENS.index("--paper") : TOKENS.index("}")]

PAGE_STYLE = f"""{TOKENS}
* {{ box-sizing: border-box; }}
body {{ font: var(--type); margin: var(--l) auto;
  max-width: 96rem; padding: 0 var(--m); color: var(--ink); background: var(--paper); }}
table {{ border-collapse: collapse; width: 100%; }} thead {{ display: table-header-group; }} tr {{ break-inside: avoid; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem var(--s);
  border-bottom: 1px solid var(--line); }}
th {{ background: var(--head); }} code {{ font-size: .9em; }} .long, td > code {{ overflow-wrap: anywhere; }}
td:has(.long) {{ min-width: 10ch; }} .many td {{ padding: .3rem .2rem; }}
.day {{ white-space: nowrap; }}
h1, h2, p, dd, li {{ overflow-wrap: break-word; }}
.many th {{ writing-mode: vertical-rl; vertical-align: bottom; white-space: nowrap; padding: var(--s) 0; }}
td.more {{ color: var(--yes); font-weight: 600; }} td.less {{ color: var(--bad); font-weight: 600; }}
td.both {{ color: var(--when); font-weight: 600; }}
.cause, .names {{ color: var(--soft); font-size: .9em; }} td:has(> .cause) {{ min-width: 36ch; }}
.note {{ border-left: 4px solid var(--when); padding-left: .8rem; }}
#filter input {{ font: inherit; color: inherit; background: var(--paper);
  padding: .3rem var(--s); border: 1px solid var(--soft); }}
svg {{ max-width: 100%; height: auto; }}
@media screen {{
  .many {{ font-size: .8rem; display: block; width: fit-content; max-width: 100%; max-height: 90vh; overflow: auto;
    border-collapse: separate; border-spacing: 0; }}
  .many thead th {{ position: sticky; top: 0; z-index: 1; }}
  .many :is(th, td):nth-child(-n+2) {{ position: sticky; left: 0; background: var(--head); }}
  .many :is(th, td):first-child {{ min-width: 10rem; max-width: 10rem; overflow-wrap: break-word; }}
  .many :is(th, td):nth-child(2) {{ left: 10rem; }}
  .many thead th:nth-child(-n+2) {{ z-index: 2; }}
}}
@page {{ size: A4 landscape; margin: 12mm; }}
@media print {{
  :root {{ color-scheme: light; {_LIGHT} }}
  body {{ font-size: 9px; margin: 0; max-width: none; padding: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  #filter {{ display: none; }} svg {{ max-height: 110mm; width: auto; }} h1, h2 {{ break-after: avoid; }}
}}
"""
"""Of pages of matrix, review, findings, log and difference. Paper is white, whatever the screen is."""

FILTER = """<p id="filter" hidden><label>Show only rows with <input type="search"></label> <output></output></p>
<script>
{
  const box = document.getElementById("filter"), rows = [...document.querySelectorAll("tbody tr")];
  const texts = rows.map(row => row.textContent.toLowerCase());
  document.querySelector("table")?.before(box);
  box.hidden = !rows.length;
  box.querySelector("input").addEventListener("input", event => {
    const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, at) => { row.hidden = !words.every(word => texts[at].includes(word)); left += !row.hidden; });
    box.querySelector("output").textContent = words.length ? `${left} of ${rows.length}` : "";
  });
}
</script>"""
"""Shows, as somebody types, the rows that have every word; stands behind the tables, and moves above the first of them."""

_LONG = re.compile(r"\S{17,}")
_PART = re.compile(r"\d{4}-\d\d-\d\d[T@./_:-]*|[^@./_:-]*[@./_:-]+|[^@./_:-]+")
"""A part of a long text, with the signs behind it; a day is one part."""
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d")
_LONGEST_PART = 24
_MANY = 12


def html_words(text: str) -> str:
    """A text for a page, in which only what is long and has no blank, such as an id or a path, may break within.

    It breaks behind a sign between its parts; a part that is longer than any name, such as a digest, anywhere; a day nowhere.
    Nothing is added that would be copied, or found by the filter.
    """
    places = [0, *(place for found in _LONG.finditer(text) for place in found.span()), len(text)]
    pieces = (text[start:end] for start, end in pairwise(places))
    words = "".join(
        "<wbr>".join(map(_part, _PART.findall(piece))) if number % 2 else html.escape(piece)
        for number, piece in enumerate(pieces)
    )
    return _DAY.sub(r'<span class="day">\g<0></span>', words)


def _part(text: str) -> str:
    escaped = html.escape(text)
    return f'<span class="long">{escaped}</span>' if len(text) > _LONGEST_PART else escaped


def table_start(columns: int) -> str:
    """The tag of a table; one of very many columns has upright headers, so that it fits on paper."""
    return '<table class="many">' if columns > _MANY else "<table>"
