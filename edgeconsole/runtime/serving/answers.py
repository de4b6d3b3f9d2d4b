"""Answers of one model from what its workers give, each in a form that those like it share."""

from __future__ import annotations

from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.protocol.answers import AnswerForm
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.serving.batcher import Answer, Pending
from edgeconsole.runtime.serving.channel import Layout, Ran

_KEPT_FORMS: Final = 256


class Answers:
    """Makes them."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._output_names = [spec.name for spec in manifest.outputs]
        self._forms: dict[tuple[Layout, int, tuple[str, ...]], AnswerForm] = {}

    def make(
        self, pending: Pending, result: Ran, views: list[Array], queue_ms: float, total_ms: float
    ) -> Answer:
        """Return a member's answer; `views` are its rows of all outputs, and stay the worker's."""
        named = list(zip(self._output_names, views, strict=True))
        wanted = pending.output_names
        if wanted:
            named = [(name, view) for name, view in named if name in wanted]
        return Answer(
            model=self._manifest.model,
            version=self._manifest.version,
            variant=self._manifest.variant,
            outputs=named,
            queue_ms=queue_ms,
            infer_ms=result.infer_ms,
            total_ms=total_ms,
            form=self._form(result.outputs, pending),
        )

    def _form(self, outputs: Layout, member: Pending) -> AnswerForm:
        key = (outputs, member.rows, member.output_names)
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _KEPT_FORMS:
                self._forms.clear()
            form = self._forms[key] = AnswerForm()
        return form
