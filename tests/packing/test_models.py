"""Modules of every kind become bundles that give the module's values at any batch size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle
from edgeconsole.packer.check import check_golden
from edgeconsole.packer.export import OPSET

Pack = Callable[..., Bundle]
Agrees = Callable[..., None]


def conv_net() -> nn.Sequential:
    """Return a net whose BatchNorm and Dropout act differently in training."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(),
        nn.Linear(4 * 36, 3),
    )  # fmt: skip
    net.train()(torch.randn(16, 1, 8, 8) * 3 + 1)  # moves the running statistics
    return net


class Attention(nn.Module):
    """An encoder layer (fused in evaluation) on top of MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the outputs."""
        mixed, _ = self.attention(tokens, tokens, tokens, key_padding_mask=mask)
        found: torch.Tensor = self.encoder(mixed, src_key_padding_mask=mask).mean(dim=1)
        return found


class Recurrent(nn.Module):
    """A recurrent net that returns nested tuples with the batch first."""

    def __init__(self, kind: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.cells = kind(4, 6, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, steps: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the outputs."""
        every, _ = self.cells(steps)
        return every[:, -1], (every.mean(dim=1), every)


class Scores(NamedTuple):
    """Outputs with names, one of them absent."""

    mean: torch.Tensor
    spread: torch.Tensor
    extra: torch.Tensor | None = None


class TwoInputs(nn.Module):
    """Two inputs, a keyword with a default, a dict with a named tuple inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("offset", torch.tensor([1.0, 2.0]))

    def forward(
        self, left: torch.Tensor, right: torch.Tensor, *, gain: float = 2.0
    ) -> dict[str, object]:
        """Return the outputs."""
        scores = self.layer(left) * gain + right + self.offset
        return {"scores": scores, "stats": Scores(scores.mean(1), scores.std(1))}


def test_convolutions(pack: Pack, agrees: Agrees) -> None:
    """A conv net with BatchNorm and Dropout is packed as it evaluates, with buffers."""
    net = conv_net()
    bundle = pack(net, torch.randn(1, 1, 8, 8), task="classification", labels=["a", "b", "c"])
    manifest = bundle.manifest
    assert manifest.is_batched
    assert manifest.contains_code
    assert [(spec.name, spec.shape) for spec in manifest.inputs] == [("input", (-1, 1, 8, 8))]
    assert [(spec.name, spec.shape) for spec in manifest.outputs] == [("output", (-1, 3))]
    assert manifest.labels == ("a", "b", "c")
    agrees(bundle, net, torch.randn(7, 1, 8, 8))
    check_golden(bundle)


def test_the_file_is_plain_onnx(pack: Pack) -> None:
    """One valid file: our opset, only the standard domain, a named batch, no notes of its origin."""
    bundle = pack(conv_net(), torch.randn(2, 1, 8, 8))
    model = onnx.load(bundle.file_path("model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for name in ("model.onnx", "model.pt2"):
        data = bundle.file_path(name).read_bytes()
        assert b"test_models.py" not in data
        assert b"site-packages" not in data


def test_attention_with_a_mask(pack: Pack, agrees: Agrees) -> None:
    """MultiheadAttention and an encoder layer are packed, with a boolean mask given by name."""
    mask = torch.tensor([[False] * 5, [False, False, False, True, True]])
    net = Attention()
    fused = torch.backends.mha.get_fastpath_enabled()
    bundle = pack(net, {"mask": mask, "tokens": torch.randn(2, 5, 8)})
    assert torch.backends.mha.get_fastpath_enabled() == fused
    names = [(spec.name, spec.datatype.value) for spec in bundle.manifest.inputs]
    assert names == [("tokens", "FP32"), ("mask", "BOOL")]
    agrees(bundle, net, torch.randn(4, 5, 8), torch.cat([mask, mask.flip(0)]))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent(pack: Pack, agrees: Agrees, kind: type[nn.GRU | nn.LSTM]) -> None:
    """Layered, bidirectional GRU and LSTM with nested outputs stay right at other batches."""
    net = Recurrent(kind)
    bundle = pack(net, torch.randn(1, 5, 4))
    names = [(spec.name, spec.shape) for spec in bundle.manifest.outputs]
    assert names == [("output_0", (-1, 12)), ("output_1", (-1, 12)), ("output_2", (-1, 5, 12))]
    agrees(bundle, net, torch.randn(3, 5, 4))


def test_integers_in_and_out(pack: Pack, agrees: Agrees) -> None:
    """Token numbers go in as INT64, a class number comes out as INT64."""

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Embedding(10, 8), nn.Flatten(), nn.Linear(40, 3))

        def forward(self, *ids: torch.Tensor) -> list[torch.Tensor]:
            return [self.layers(ids[0]).argmax(dim=-1)]

    net = Tagger()
    bundle = pack(net, (torch.randint(0, 10, (1, 5)),), variant="int-out")
    manifest = bundle.manifest
    assert [(s.name, s.datatype, s.shape) for s in manifest.inputs] == [
        ("input_0", "INT64", (-1, 5))
    ]
    assert [(s.name, s.datatype, s.shape) for s in manifest.outputs] == [("output", "INT64", (-1,))]
    assert manifest.key == "toy/1/int-out"
    agrees(bundle, net, torch.randint(0, 10, (4, 5)))


def test_several_inputs_and_named_outputs(pack: Pack, agrees: Agrees) -> None:
    """Inputs are called like parameters, outputs like keys and fields; numpy examples count."""
    net = TwoInputs()
    examples = (np.ones((1, 4), "f4"), np.zeros((1, 2), "f4"))
    bundle = pack(net, examples)
    assert [spec.name for spec in bundle.manifest.inputs] == ["left", "right"]
    outputs = [(spec.name, spec.shape) for spec in bundle.manifest.outputs]
    assert outputs == [("scores", (-1, 2)), ("stats_mean", (-1,)), ("stats_spread", (-1,))]
    agrees(bundle, net, torch.randn(5, 4), torch.randn(5, 2))


def test_golden_comes_from_the_module(pack: Pack) -> None:
    """Golden inputs are the example's first rows, golden outputs the eager module's."""
    net = nn.Linear(3, 2)
    examples = torch.randn(5, 3)
    inputs, outputs = pack(net, examples).golden()
    assert np.array_equal(inputs["input"], examples[:2].numpy())
    assert np.array_equal(outputs["output"], net(examples[:2]).detach().numpy())


def test_pt2_has_the_same_contract(pack: Pack) -> None:
    """`model.pt2` takes the manifest's inputs in order, at any batch, and returns a flat tuple."""
    net = TwoInputs()
    bundle = pack(net, (torch.randn(1, 4), torch.randn(1, 2)))
    program = torch.export.load(bundle.file_path("model.pt2"))
    for rows in (1, 2, 6):
        inputs = torch.randn(rows, 4), torch.randn(rows, 2)
        outputs = program.module()(*inputs)
        assert isinstance(outputs, tuple)
        assert len(outputs) == len(bundle.manifest.outputs)
        assert torch.allclose(outputs[0], net(*inputs)["scores"], atol=1e-6)


def test_the_callers_module_is_untouched(pack: Pack) -> None:
    """Weights, buffers, training and gradient flags are what they were; so is the example."""
    net = conv_net()
    net[0].eval()
    next(net[1].parameters()).requires_grad_(False)
    state = copy.deepcopy(net.state_dict())
    training = [module.training for module in net.modules()]
    gradients = [parameter.requires_grad for parameter in net.parameters()]
    example = torch.randn(1, 1, 8, 8, requires_grad=True)
    before = example.detach().clone()
    pack(net, example)
    assert [module.training for module in net.modules()] == training
    assert [parameter.requires_grad for parameter in net.parameters()] == gradients
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert torch.equal(example.detach(), before)
    assert example.requires_grad


def test_fixed_batch(pack: Pack) -> None:
    """With `dynamic_batch=False` shapes are the example's, scalars and raw states are allowed."""

    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(4, 6)

        def forward(self, steps: torch.Tensor, gain: torch.Tensor) -> object:
            return self.cells(steps * gain)

    bundle = pack(
        Stateful(), (torch.randn(5, 1, 4), torch.tensor(2.0)), dynamic_batch=False,
        include_pt2=False,
    )  # fmt: skip
    assert [spec.shape for spec in bundle.manifest.inputs] == [(5, 1, 4), ()]
    assert [spec.shape for spec in bundle.manifest.outputs] == [(5, 1, 6), (1, 1, 6), (1, 1, 6)]
    assert not bundle.manifest.is_batched
    assert not bundle.manifest.contains_code
    check_golden(bundle)


def test_no_noise(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    """Packing prints nothing at all, neither through Python nor below it."""
    pack(conv_net(), torch.randn(1, 1, 8, 8))
    assert capfd.readouterr() == ("", "")
