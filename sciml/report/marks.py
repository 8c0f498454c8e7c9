"""Text with **bold**, *emphasis* and `code` as HTML, and data that goes into it unchanged."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

# An escaped mark, code, bold, emphasis. An escaped character does not end a mark.
_MARKS = re.compile(
    r"\\([\\`*])|`([^`]+)`|\*\*((?:[^*\\]|\\.)+)\*\*|(?<![\w*])\*((?!\s)(?:[^*\\]|\\.)+)\*(?!\w)"
)


def inline(text: str) -> Markup:
    """Escaped text with **bold**, *emphasis* and `code`; a backslash escapes a mark."""

    def made(match: re.Match[str]) -> str:
        escaped, code, strong, emphasis = match.groups()
        if escaped is not None:
            return escaped
        if code is not None:
            return f"<code>{code}</code>"
        tag, inner = ("strong", strong) if strong is not None else ("em", emphasis)
        return f"<{tag}>{_MARKS.sub(made, inner)}</{tag}>"

    return Markup(_MARKS.sub(made, str(escape(text))))


def literal(value: Any) -> str:
    """Data escaped for a text with marks: `page.text(f"From **{literal(name)}**.")`."""
    return re.sub(r"([\\`*])", r"\\\1", str(value))
