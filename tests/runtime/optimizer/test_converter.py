"""Writing a bundle's model for LiteRT, with the real converter where it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.demo.data import bundle_path
from edgeconsole.engines import Engine, Execution, installed_version
from edgeconsole.errors import BackendError
from edgeconsole.runtime.backends.opening import open_engine
from edgeconsole.runtime.optimizer.build import Builder
from edgeconsole.runtime.optimizer.converter import TfliteConverter
from edgeconsole.runtime.optimizer.engines import converter_version
from edgeconsole.runtime.optimizer.forms import Form, Port
from edgeconsole.runtime.optimizer.ledger import Built, Ledger
from edgeconsole.runtime.optimizer.words import Convert, TfliteForm

LITERT = Execution(Engine.LITERT, max_batch=1)
PACKED = Built("fp32", "float", note="as packed")


@pytest.mark.skipif(
    not (converter_version() and installed_version("ai-edge-litert")),
    reason="LiteRT's converter is not installed",
)
@pytest.mark.timeout(180)
def test_each_form_answers_as_the_original(tmp_path: Path) -> None:
    """Float the same, int8 nearly so and smaller; what is known is not made again."""
    bundle = Bundle.open(bundle_path("digits"))
    ledger = Ledger(tmp_path)
    builder = Builder(bundle, ledger, seed=1)
    inputs, expected = bundle.golden()
    given = [inputs[spec.name] for spec in bundle.manifest.inputs]
    sizes = {}
    for form, least, most in (
        (Form.FLOAT, 0.0, 1e-5),
        (Form.DYNAMIC, 1e-4, 0.1),
        (Form.STATIC, 1e-4, 0.1),
    ):
        built = builder.port(PACKED, Port(LITERT, form))
        assert built.failure == ""
        assert "for one row" in built.note
        path = tmp_path / built.model
        sizes[form] = path.stat().st_size
        [got] = open_engine(LITERT, path, bundle.manifest, threads=1).run(given)
        wide = np.abs(expected["logits"]).max()
        assert least <= np.abs(got - expected["logits"]).max() / wide <= most
        assert ledger.find(built.name) == built
    assert max(sizes[Form.DYNAMIC], sizes[Form.STATIC]) < 0.4 * sizes[Form.FLOAT]


def test_without_the_converter_it_is_a_row_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process says what it lacks, and what is made of the file is not tried either."""
    broken = tmp_path / "modules"
    for name in ("litert_torch", "ai_edge_quantizer"):
        (broken / name).mkdir(parents=True)
        (broken / name / "__init__.py").write_text(f"raise ImportError('no {name}')")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=":")
    builder = Builder(Bundle.open(bundle_path("digits")), Ledger(tmp_path / "job"), seed=1)
    made = builder.port(PACKED, Port(LITERT))
    assert made.name == "fp32-litert"
    assert "no litert_torch" in made.failure
    assert made.execution == LITERT
    after = builder.port(PACKED, Port(LITERT, Form.STATIC))
    assert after.failure == "fp32-litert could not be built"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("shape", [-1, 1, -1, 8], "free dimension"), ("name", "class", "parameter in Python")],
)
def test_what_a_fixed_file_cannot_stand_for_is_refused(
    tmp_path: Path, field: str, value: object, words: str
) -> None:
    """Before anything is loaded that could run code."""
    folder = tmp_path / "free"
    shutil.copytree(bundle_path("digits"), folder)
    document = msgspec.json.decode((folder / "manifest.json").read_bytes())
    document["inputs"][0][field] = value
    (folder / "manifest.json").write_bytes(msgspec.json.encode(document))
    request = Convert(str(folder), TfliteForm.FLOAT, "", str(tmp_path / "out"))
    with pytest.raises(BackendError, match=words):
        TfliteConverter().handle(request)
    assert not (tmp_path / "out").exists()
