"""`ReasonedDialog`: a question that wants a reason and, where it reaches many devices, their number."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input

from edgeconsole.fleet.blast import Blast, Effort
from edgeconsole.fleet.orders import MOST_REASON
from edgeconsole.tui import confirm_lines
from edgeconsole.tui.screens.dialog import Dialog
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines
from edgeconsole.tui.widgets.prompt import PromptInput


class ReasonedDialog(Dialog):
    """Asks whether something is meant, and why, as hard as it reaches far."""

    def __init__(
        self,
        state: ConsoleState,
        title: str,
        *,
        yes: str,
        reach: Blast,
        reason: str = "",
    ) -> None:
        """Make it; how much has to be typed follows from its `reach` when it opens, and stays so."""
        super().__init__(state, title, leave="Cancel", yes=yes)
        self.reach = reach
        self._reason = reason
        self._complained_of: list[str] = []

    def fields(self) -> ComposeResult:
        """Make the reason, what else there is, and the number where it is needed."""
        yield from self.field("reason", self._reason)
        yield from self.more_fields()
        if self.reach.effort is Effort.NUMBER:
            yield from self.field("number", "")

    def more_fields(self) -> ComposeResult:
        """Make the fields between the reason and the number."""
        yield from ()

    def field(self, name: str, text: str) -> ComposeResult:
        """Make one field with its label."""
        with Horizontal(classes="field"):
            yield Lines(self.state.glyphs, id=f"label-{name}")
            field = PromptInput(
                text, compact=True, select_on_focus=False, id=name, max_length=MOST_REASON
            )
            field.cursor_blink = False
            yield field

    def name_fields(self, **more: str) -> None:
        """Say what each field is for; `more` names those between the reason and the number."""
        needs_reason = self.reach.effort is not Effort.KEY
        labels = {
            "reason": "reason" if needs_reason else "reason, if any",
            **more,
            "number": f"type {len(self.reach.devices)} to confirm",
        }
        for name, label in labels.items():
            for found in self.query(f"#label-{name}").results(Lines):
                found.show([((label, "muted"),)])

    def say(self, text: str) -> None:
        """Say what is wrong, until the fields change."""
        self._complained_of = self._texts()
        super().say(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the written form follow what is typed."""
        event.stop()
        if self._texts() != self._complained_of:
            self.say("")
        self.redraw()

    def text_of(self, name: str) -> str:
        """Return what is typed into a field; empty if it is not there."""
        fields = self.query(f"#{name}").results(PromptInput)
        return next((field.value.strip() for field in fields), "")

    def _texts(self) -> list[str]:
        return [field.value for field in self.query(PromptInput)]

    def missing(self) -> tuple[str, str]:
        """Return which field keeps it from being given, and what to do; empty: none does."""
        return confirm_lines.missing(self.reach, self.text_of("reason"), self.text_of("number"))

    def refuse(self, name: str, wrong: str) -> None:
        """Say what is wrong with a field and give it the keyboard."""
        self.set_focus(self.query_one(f"#{name}"))
        self.say(wrong)
