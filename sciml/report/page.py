"""One HTML page that opens offline: text, tables, figures and the command that reproduces it.

Figures are embedded as SVG (small) or PNG (large); nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml import __version__
from sciml.errors import InputError
from sciml.paths import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# An SVG above this size is slower to open than the same picture as PNG.
LARGEST_SVG = 300_000
# An id, and the ways in which our pages refer to one.
REFERENCE = r'(\bid="|href="#|url\(#|getElementById\(")([^")]+)'
# Around the content of a page, so that it can be read back.
BEGIN, END = "<!--content-->", "<!--end of content-->"

STYLE = """
:root { --ink: #1c2330; --soft: #5a6577; --line: #dde3ea; --accent: #0b66c3; --back: #ffffff;
        --code: #f4f6f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf2; --soft: #9aa7ba; --line: #313a47; --accent: #6cb2ff; --back: #12161c;
          --code: #1c222b; }
  figure svg, figure img { background: #fff; border-radius: 6px; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line);
     padding-bottom: .3rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p.lead { font-size: 1.12rem; color: var(--soft); margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .34rem .8rem .34rem 0; text-align: right; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th:first-child, td:first-child, .words { text-align: left; }
td.words { min-width: 8rem; white-space: normal; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
caption, figcaption { color: var(--soft); font-size: .92rem; text-align: left; padding: .4rem 0; }
caption { caption-side: bottom; white-space: normal; }
figure { margin: 1.2rem 0; }
img, figure svg { max-width: 100%; height: auto; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .88em; }
code { background: var(--code); padding: .1em .3em; border-radius: 4px; }
pre { background: var(--code); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; }
pre code { padding: 0; background: none; }
nav a { color: var(--accent); margin-right: 1rem; text-decoration: none; white-space: nowrap;
        display: inline-block; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
"""


# An escaped mark, code, bold, emphasis. An escaped character does not end a mark.
_MARKS = re.compile(
    r"\\([\\`*])|`([^`]+)`|\*\*((?:[^*\\]|\\.)+)\*\*|(?<![\w*])\*((?!\s)(?:[^*\\]|\\.)+)\*(?!\w)"
)


def _inline(text: str) -> str:
    """Escaped text with **bold**, *emphasis* and `code`; a backslash escapes a mark."""

    def made(match: re.Match[str]) -> str:
        escaped, code, strong, emphasis = match.groups()
        if escaped is not None:
            return escaped
        if code is not None:
            return f"<code>{code}</code>"
        tag, inner = ("strong", strong) if strong is not None else ("em", emphasis)
        return f"<{tag}>{_MARKS.sub(made, inner)}</{tag}>"

    return _MARKS.sub(made, html.escape(text, quote=False))


def literal(value: Any) -> str:
    """Data escaped for a text with marks: `page.text(f"From **{literal(name)}**.")`."""
    return re.sub(r"([\\`*])", r"\\\1", str(value))


def _plain(markup: str) -> str:
    """The inverse of `_inline`: marks for tags, characters for entities."""
    marks = {"code": "`", "strong": "**", "em": "*"}
    plain, code = "", False
    for part in re.split(r"(</?(?:code|strong|em)>)", markup):
        if (tag := part.strip("</>")) in marks and part.startswith("<"):
            plain += marks[tag]
            code = part == "<code>"
        else:
            text = html.unescape(part)
            plain += text if code else literal(text)
    return plain


def _cell(value: Any) -> str:
    """A table shows data: text stands in it as it is."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return html.escape(str(value), quote=False)


def _words(values: list[Any]) -> bool:
    """Whether a column holds text, which is aligned to the left, not numbers."""
    texts = [value for value in values if value is not None]
    return bool(texts) and all(isinstance(v, str) and v[:1].isalpha() for v in texts)


class Page:
    """A report, built from top to bottom, then written.

    >>> page = Page("Two jets", lead="Their scores.")
    >>> page.table([{"model": "ours", "auc": 0.98}])
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title, self.lead = title, lead
        self.parts: list[str] = []
        self.sections: list[tuple[str, str]] = []

    def heading(self, text: str, level: int = 2) -> None:
        """A section heading, as it is; sections of level 2 are listed at the top of a long page."""
        anchor = re.sub(r"\W+", "-", text.lower()).strip("-")
        anchors = [a for a, _ in self.sections]
        if level == 2 and anchor in anchors:
            anchor += f"-{len(anchors)}"
        if level == 2:
            self.sections.append((anchor, text))
        self.parts.append(f'<h{level} id="{anchor}">{html.escape(text, quote=False)}</h{level}>')

    def text(self, text: str) -> None:
        """Paragraphs, separated by empty lines; **bold**, *emphasis* and `code` are rendered.

        Data that goes in passes through `literal` first.
        """
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self.parts.append(f"<p>{_inline(' '.join(paragraph.split()))}</p>")

    def command(self, text: str) -> None:
        """A command to copy."""
        self.parts.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def table(self, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """Rows of equal keys, the keys being the header; missing values show as a dash.

        Keys and values are data and shown as they are; the caption may have marks, see `text`.
        """
        if not rows:
            return
        keys = list(dict.fromkeys(key for row in rows for key in row))
        kind = {key: ' class="words"' if _words([row.get(key) for row in rows]) else ""
                for key in keys}  # fmt: skip
        head = "".join(f"<th{kind[key]}>{html.escape(key, quote=False)}</th>" for key in keys)
        body = "".join(
            "<tr>" + "".join(f"<td{kind[key]}>{_cell(row.get(key))}</td>" for key in keys) + "</tr>"
            for row in rows
        )
        note = f"<caption>{_inline(caption)}</caption>" if caption else ""
        self.parts.append(
            f'<div class="scroll"><table>{note}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def figure(self, figure: Figure, caption: str = "", alt: str = "") -> None:
        """A matplotlib figure; it is closed afterwards."""
        import matplotlib.pyplot as plt

        buffer = io.BytesIO()
        # A fixed salt and no date: the same figure gives the same bytes.
        import matplotlib

        with matplotlib.rc_context({"svg.hashsalt": "sciml"}):
            figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        # Without matplotlib's metadata, which holds a date.
        svg = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue().decode(), flags=re.S)
        if len(svg) <= LARGEST_SVG:
            # Ids of several figures on one page must not collide.
            prefix = f"f{len(self.parts)}-"
            svg = re.sub(r'(id="|href="#|url\(#)', lambda m: m.group(1) + prefix, svg)
            picture = svg[svg.index("<svg") :]
            label = f'role="img" aria-label="{html.escape(alt or caption)}"'
            picture = picture.replace("<svg", f"<svg {label}", 1)
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
            data = base64.b64encode(buffer.getvalue()).decode()
            picture = (
                f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt or caption)}">'
            )
        plt.close(figure)
        note = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
        self.parts.append(f"<figure>{picture}{note}</figure>")

    def html(self, raw: str) -> None:
        """Raw HTML of our own; text from outside must be escaped before."""
        self.parts.append(raw)

    def extend(self, other: Page) -> None:
        """Another page's content as a section of this one."""
        self.heading(other.title)
        if other.lead:
            self.text(other.lead)
        # Ids of several pages must not collide on this one.
        prefix = f"p{len(self.sections)}-"
        names = {name for part in other.parts for name in re.findall(r'\bid="([^"]+)"', part)}

        def own(match: re.Match[str]) -> str:
            return match[1] + (prefix + match[2] if match[2] in names else match[2])

        for part in other.parts:
            part = re.sub(r"<(/?)h2", r"<\1h3", part)
            self.parts.append(re.sub(REFERENCE, own, part))

    @classmethod
    def read(cls, path: str | Path) -> Page:
        """A page that `write` wrote, to `extend` another one with.

        Raises:
            InputError: no such file, or another kind of page.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", where=path) from error
        title = re.search(r"<h1>(.*?)</h1>", text, re.S)
        content = re.search(rf"{BEGIN}(.*){END}", text, re.S)
        if title is None or content is None:
            raise InputError("is not a page of this package", where=path)
        lead = re.search(r'<p class="lead">(.*?)</p>', text, re.S)
        page = cls(html.unescape(title[1]), _plain(lead[1]) if lead else "")
        page.parts.append(content[1])
        return page

    def __str__(self) -> str:
        links = "".join(
            f'<a href="#{anchor}">{html.escape(title, quote=False)}</a>'
            for anchor, title in self.sections
        )
        title = html.escape(self.title, quote=False)
        nav = f"<nav>{links}</nav>" if len(self.sections) > 2 else ""
        lead = f'<p class="lead">{_inline(self.lead)}</p>' if self.lead else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
            f"<h1>{title}</h1>{lead}{nav}{BEGIN}{''.join(self.parts)}{END}"
            f"<footer>Made by sciml {__version__}.</footer></main></body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page atomically."""
        with atomic_write(path) as temporary:
            temporary.write_text(str(self), encoding="utf-8")
        return Path(path)
