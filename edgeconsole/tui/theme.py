"""The console's colours: a calm blue-grey base, and colour only for what is not as it should be."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

ROLE_COLORS: Final = {
    "ec-bar": "#131a22",
    "ec-cursor": "#22303f",
    "ec-text": "#b9c4d0",
    "ec-strong": "#e8eef5",
    "ec-muted": "#74828f",
    "ec-faint": "#35414d",
    "ec-accent": "#7fb4e0",
    "ec-key": "#7fb4e0",
    "ec-head": "#7fb4e0",
    "ec-badge": "#e3b341",
    "ec-ok": "#7f9aab",
    "ec-warn": "#e3b341",
    "ec-crit": "#ff6159",
    "ec-failsafe": "#c893f5",
    "ec-stale": "#7d8793",
    "ec-gone": "#5d6773",
    "ec-unknown": "#8a97a5",
    "ec-limit": "#7a6a4a",
    "ec-low": "#4f7392",
    "ec-mid": "#7ba3c4",
    "ec-high": "#cfe2f3",
}
"""Used by every theme that does not bring its own."""

NIGHT: Final = Theme(
    name="edgeconsole-night",
    primary="#7fb4e0",
    secondary="#4f7392",
    accent="#7fb4e0",
    warning="#e3b341",
    error="#ff6159",
    success="#7f9aab",
    foreground="#b9c4d0",
    background="#0c1117",
    surface="#0c1117",
    panel="#131a22",
    dark=True,
    variables=ROLE_COLORS,
)
