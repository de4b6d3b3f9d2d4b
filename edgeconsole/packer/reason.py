"""An exporter's pages of error text, cut down to the one sentence that helps."""

from __future__ import annotations

import re
from typing import Final

_LIMIT: Final = 240
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TYPE: Final = re.compile(r"^<class '[\w.]+'>:\s*")
_SUMMARY: Final = "## Exception summary"


def one_sentence(error: BaseException) -> str:
    """Return the line of an exception's text that says what is wrong."""
    text = _COLOUR.sub("", str(error))
    found = ""
    if _SUMMARY in text:  # torch.onnx: advice first, the cause below
        found = _first_line(text.split(_SUMMARY, 1)[1])
    elif "Constraints violated" in text:  # torch.export: the causes are bullets
        bullets = re.findall(r"^\s*- (.+)$", text, re.MULTILINE)
        found = bullets[0] if bullets else ""
    found = _TYPE.sub("", found or _first_line(text)) or type(error).__name__
    # The advice that follows the first sentence is about exporter flags nobody here can set.
    found = re.split(r"(?<=[\w)])\. (?=[A-Z])|! For more", found, maxsplit=1)[0].rstrip(". ")
    return found if len(found) <= _LIMIT else found[: _LIMIT - 3] + "..."


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
