"""Quantised models: what was quantised is counted, and the answers stay close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeconsole import demo
from edgeconsole.bundle import Bundle
from edgeconsole.errors import BackendError
from edgeconsole.packer.check import OnnxModel
from edgeconsole.runtime.optimizer.quantizer import ModelQuantizer, count_quantized
from edgeconsole.runtime.optimizer.words import Calibrator, Quantize, Quantized, Rank, Ranked
from tests.models import root_model, slow_model

DIGITS = Path(demo.__file__).parent / "bundles" / "digits"


def quantize(folder: Path, bundle: Path = DIGITS, **changes: object) -> Quantized:
    """Quantise a bundle's model to `folder/out.onnx`."""
    fields = {
        "bundle": str(bundle),
        "model": str(bundle / "model.onnx"),
        "folder": str(folder / "work"),
        "out": str(folder / "out.onnx"),
        **changes,
    }
    done = ModelQuantizer().handle(Quantize(**fields))  # type: ignore[arg-type]
    assert isinstance(done, Quantized)
    return done


def accuracy(model: Path) -> float:
    """Return a model's accuracy on the digits' evaluation data."""
    evaluation = Bundle.open(DIGITS).evaluation()
    assert evaluation is not None
    inputs, labels = evaluation
    scores = next(iter(OnnxModel(model).run(inputs).values()))
    return float(np.mean(scores.argmax(axis=-1) == labels))


@pytest.mark.parametrize("calibrator", list(Calibrator))
@pytest.mark.parametrize("products_only", [False, True])
def test_static_models_are_smaller_and_as_good(
    tmp_path: Path,
    calibrator: Calibrator,
    products_only: bool,  # noqa: FBT001
) -> None:
    """Every layer is quantised, the file shrinks to about a quarter, and few answers change."""
    done = quantize(tmp_path, calibrator=calibrator, products_only=products_only)
    assert (done.quantized, done.of) == (done.of, done.of)
    assert done.of >= 4
    before = (DIGITS / "model.onnx").stat().st_size
    assert (tmp_path / "out.onnx").stat().st_size < 0.5 * before
    assert accuracy(tmp_path / "out.onnx") > accuracy(DIGITS / "model.onnx") - 0.03


def test_dynamic_models_leave_convolutions_alone(tmp_path: Path) -> None:
    """Quantised at run time a convolution is slower than in float; only products are."""
    done = quantize(tmp_path)
    model = onnx.load(tmp_path / "out.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert "ConvInteger" not in kinds
    assert kinds.count("Conv") == done.of - done.quantized > 0
    assert done.quantized > 0


def test_named_nodes_stay_float(tmp_path: Path) -> None:
    """A mixed model counts fewer quantised nodes, and exactly those that were named stay."""
    whole = quantize(tmp_path, calibrator=Calibrator.MINMAX, products_only=True)
    prepared = onnx.load(tmp_path / "work" / "prepared.onnx")
    first = next(node.name for node in prepared.graph.node if node.op_type == "Conv")
    mixed = quantize(tmp_path, calibrator=Calibrator.MINMAX, products_only=True, keep=(first,))
    assert mixed.quantized == whole.quantized - 1
    assert count_quantized(tmp_path / "out.onnx") == (mixed.quantized, mixed.of)


def test_layers_are_ranked_by_what_quantising_them_does(tmp_path: Path) -> None:
    """Every quantisable node is in one group; a layer made hard to quantise comes first."""
    model = onnx.load(DIGITS / "model.onnx")
    folder = tmp_path / "digits"
    folder.mkdir()
    for file in DIGITS.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    ranked = ModelQuantizer().handle(
        Rank(
            bundle=str(folder),
            model=str(folder / "model.onnx"),
            folder=str(tmp_path / "work"),
            calibrator=Calibrator.MINMAX,
            time_limit_s=60.0,
        )
    )
    assert isinstance(ranked, Ranked)
    assert ranked.complete
    names = [name for group in ranked.groups for name in group]
    assert len(names) == len(set(names))
    weighted = [node for node in model.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    assert len(names) == len(weighted)


def test_without_time_the_ranking_says_so(tmp_path: Path) -> None:
    """An incomplete ranking would leave the wrong layers in float."""
    ranked = ModelQuantizer().handle(
        Rank(
            bundle=str(DIGITS),
            model=str(DIGITS / "model.onnx"),
            folder=str(tmp_path / "work"),
            calibrator=Calibrator.MINMAX,
            time_limit_s=0.0,
        )
    )
    assert isinstance(ranked, Ranked)
    assert (ranked.groups, ranked.complete) == ([], False)


def test_what_cannot_be_quantised_has_a_reason(tmp_path: Path) -> None:
    """No calibration data; nothing with weights: each is said in words."""
    slow = slow_model(tmp_path / "slow", layers=2)
    with pytest.raises(BackendError, match="needs calibration data"):
        quantize(tmp_path, slow.path, calibrator=Calibrator.MINMAX)
    root = root_model(tmp_path / "root")
    with pytest.raises(BackendError, match="no convolution, product or recurrent layer"):
        quantize(tmp_path / "other", root.path)
