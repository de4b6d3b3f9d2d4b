"""The packer's small parts: variations of examples, graph hygiene, one-sentence reasons, quiet."""

from __future__ import annotations

import dataclasses
import logging
import warnings

import onnx
import pytest
import torch
from onnx import helper

from edgeconsole.errors import PackError
from edgeconsole.packer.examples import Examples
from edgeconsole.packer.graph import clean_graph
from edgeconsole.packer.outputs import name_outputs
from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence


def test_variations_differ_and_stay_in_range() -> None:
    """Missing rows are made from real ones: distinct, in range, real rows kept first."""
    floats, ids = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[4, 0, 9]])
    made = Examples(("x", "ids"), (floats, ids)).batch(3)
    assert [tensor.shape for tensor in made.tensors] == [(3, 3), (3, 3)]
    for tensor, source in zip(made.tensors, (floats, ids), strict=True):
        assert torch.equal(tensor[:1], source)
        assert len({tuple(row) for row in tensor.tolist()}) == 3
        assert tensor.abs().max() == source.abs().max()
    assert torch.equal(made.batch(1).tensors[1], ids)


def graph_model(domain: str = "", *, external: bool = False) -> onnx.ModelProto:
    """Return a one-node model."""
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    if external:
        weight.data_location = onnx.TensorProto.EXTERNAL
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["s7"])
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain, doc_string="secret")
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["2*s7 + s70"])
    graph = helper.make_graph([node], "g", [value], [result], [weight])
    opsets = [helper.make_opsetid(name, 20) for name in {"", domain, "unused.domain"}]
    return helper.make_model(graph, opset_imports=opsets)


def test_graph_is_cleaned() -> None:
    """Notes and unused domains go, and only the batch symbol itself is renamed."""
    data = clean_graph(graph_model())
    model = onnx.load_from_string(data)
    assert b"secret" not in data
    assert [entry.domain for entry in model.opset_import] == [""]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "2*batch + s70"


def test_custom_operators_and_external_data() -> None:
    """Operators of another domain, also inside a branch, and external weights are refused."""
    with pytest.raises(PackError, match=r"domain 'acme\.ops'"):
        clean_graph(graph_model("acme.ops"))
    with pytest.raises(PackError, match="'w' would lie outside"):
        clean_graph(graph_model(external=True))
    outer = graph_model()
    inner = graph_model("acme.ops").graph
    outer.graph.node.append(
        helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner)
    )
    with pytest.raises(PackError, match=r"domain 'acme\.ops'"):
        clean_graph(outer)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n  plain reason\nmore", "plain reason"),
        ("", "ValueError"),
        ("Constraints violated (batch)! For more\n  - batch is 2. If you are lost\n", "batch is 2"),
        ("Advice\n## Exception summary\n\n<class 'a.B'>: no op\n(Refer", "no op"),
        ("\x1b[96mred\x1b[0m words", "red words"),
        ("x" * 500, "x" * 237 + "..."),
    ],
)
def test_one_sentence(text: str, sentence: str) -> None:
    """Of an exporter's page, the line with the cause is left."""
    assert one_sentence(ValueError(text)) == sentence


def test_quiet_is_over_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    """Inside nothing is heard; afterwards, also after an error, everything is again."""
    with pytest.raises(ZeroDivisionError), quiet():  # noqa: PT012 - the noise comes before the error
        warnings.warn("noise", UserWarning, stacklevel=1)
        logging.getLogger("some.library").error("noise")
        print("noise")
        _ = 1 / 0
    print("heard")
    assert capsys.readouterr().out == "heard\n"
    assert logging.getLogger("some.library").isEnabledFor(logging.ERROR)


@dataclasses.dataclass
class Answer:
    """An output type of a user's own."""

    scores: torch.Tensor
    layers: list[torch.Tensor]
    loss: torch.Tensor | None = None


def test_output_names() -> None:
    """Keys and fields name outputs, numbers only below a name; the rest counts from `output_0`."""
    one = torch.zeros(1)
    for value, names in (
        (one, ["output"]),
        ([one], ["output"]),
        ((one, (one, one)), ["output_0", "output_1", "output_2"]),
        (Answer(one, [one, one]), ["scores", "layers_0", "layers_1"]),
        ((one, {"aux": one}), ["output_0", "aux"]),
        ({"a": {"b": one}, 3: one}, ["a_b", "3"]),
    ):
        assert [name for name, _ in name_outputs(value)] == names
