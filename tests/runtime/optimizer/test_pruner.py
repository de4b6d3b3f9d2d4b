"""Pruned models are really smaller, are the model they claim to be, and recover on their own."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle, Task
from edgeconsole.demo.data import bundle_path
from edgeconsole.packer.build import build as pack
from edgeconsole.packer.export import plain_attention
from edgeconsole.packer.quiet import quiet
from edgeconsole.runtime.optimizer.build_words import BuildError, BuildProgress, Scope
from edgeconsole.runtime.optimizer.building import load_graph
from edgeconsole.runtime.optimizer.channels import Channels, regroup, reshape
from edgeconsole.runtime.optimizer.groups import Groups
from edgeconsole.runtime.optimizer.pruner import ModelPruner, Target, cut_channels
from edgeconsole.runtime.optimizer.schedule import Schedule
from edgeconsole.runtime.optimizer.surgery import remove_channels
from edgeconsole.runtime.optimizer.trainable import (
    attribute,
    attribute_names,
    copy_module,
    graph_module,
    weight_bytes,
    weight_count,
)
from edgeconsole.runtime.optimizer.training import Original
from edgeconsole.runtime.optimizer.walk import Walk
from edgeconsole.runtime.optimizer.walk_rules import RULES

QUICK = Schedule(steps=20, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def conv_bn(ins: int, outs: int, groups: int = 1) -> nn.Sequential:
    """Return a convolution with its batch norm and activation."""
    return nn.Sequential(
        nn.Conv2d(ins, outs, 3, padding=1, groups=groups, bias=False),
        nn.BatchNorm2d(outs),
        nn.ReLU(inplace=True),
    )


class Plain(nn.Module):
    """Two convolutions and a classifier on their means."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16), nn.MaxPool2d(2), conv_bn(16, 24))
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.head(self.body(x).mean(dim=(2, 3)))


class Residual(nn.Module):
    """Two blocks whose sums tie three convolutions, one with a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = conv_bn(3, 16), conv_bn(16, 16)
        self.second, self.project = conv_bn(16, 32), nn.Conv2d(16, 32, 1)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        x = self.stem(x)
        x = torch.relu(x + self.first(x))
        x = self.project(x).add_(self.second(x))
        return self.head(self.pool(x).flatten(1))


class Depthwise(nn.Module):
    """Depthwise convolutions, one of which makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(3, 16), conv_bn(16, 16, 16), conv_bn(16, 24), conv_bn(24, 48, 24)
        )
        self.head = nn.Conv2d(48, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.head(self.body(x)).mean((2, 3))


class Grouped(nn.Module):
    """A grouped convolution: every group must lose as much."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 32), conv_bn(32, 32, 4), conv_bn(32, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.head(self.body(x).mean((2, 3)))


class Mlp(nn.Module):
    """Three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(192, 40),
            nn.ReLU(),
            nn.Linear(40, 24),
            nn.ReLU(),
            nn.Linear(24, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.layers(x)


class Concat(nn.Module):
    """The second convolution reads what two others write, side by side, and the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.join = conv_bn(3, 16), conv_bn(3, 24), conv_bn(43, 16)
        self.head = nn.Linear(16 * 64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        both = torch.cat([self.left(x), x, self.right(x)], dim=1)
        return self.head(self.join(both).view(x.shape[0], 16 * 64))


class Flattened(nn.Module):
    """Every channel becomes a block of 16 features; one view has constants only."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16), nn.AvgPool2d(2))
        self.middle, self.head = nn.Linear(256, 32), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        features = self.body(x).view(-1, 16, 16).reshape(-1, 256)
        return self.head(torch.relu(self.middle(features)))


class Gated(nn.Module):
    """Squeeze and excitation, a gate that splits channels in two, and a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = conv_bn(3, 16), nn.Conv2d(16, 48, 1)
        self.squeeze, self.excite = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.scale = nn.Parameter(torch.rand(24, 1, 1) + 0.5)
        self.one, self.two, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(16, 8, 1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        x = self.stem(x)
        x = x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        value, gate = self.wide(x).chunk(2, dim=1)
        x = value * gate.sigmoid() * self.scale
        return self.head((self.one(x[:, :8]) + self.two(x[:, 8:])).mean((2, 3)))


class Decoder(nn.Module):
    """Transposed convolutions, an activation with weights, and channels that are last for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.last = conv_bn(3, 16), nn.Linear(16, 24)
        self.up, self.act, self.head = (
            nn.ConvTranspose2d(24, 16, 2, 2),
            nn.PReLU(16),
            nn.Linear(16, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        x = self.last(self.down(x).permute(0, 2, 3, 1)).transpose(1, 3)
        x = nn.functional.pad(self.act(self.up(x)), (1, 1))
        return self.head(nn.functional.interpolate(x, scale_factor=2).amax((2, 3)))


class Attentive(nn.Module):
    """Attention with one head in plain products, weights that are no layer's, and `addmm`."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.query, self.value = nn.Linear(3, 16), nn.Linear(3, 16), nn.Linear(3, 24)
        self.out, self.bias = nn.Parameter(torch.randn(24, 16)), nn.Parameter(torch.randn(16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        x = x.flatten(2).transpose(1, 2)
        weights = (self.query(x) @ self.key(x).transpose(1, 2) / 4).softmax(-1)
        mean = torch.bmm(weights, self.value(x)).mean(1)
        return self.head(torch.addmm(self.bias, mean, self.out).relu() + mean @ self.out)


PACKED = [Plain, Residual, Depthwise, Mlp, Concat, Flattened]
NETS = [*PACKED, Grouped, Gated, Decoder, Attentive]


class Encoder(nn.Module):
    """Attention, whose heads have a fixed shape, and a feed-forward part that can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.head(self.layer(x.flatten(2)).mean(1))


class Recurrent(nn.Module):
    """A recurrent net, whose cells cannot be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.GRU(64, 16, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        return self.head(self.cells(x.flatten(2))[0][:, -1])


def original(net: nn.Module, rows: int = 64, size: tuple[int, ...] = (3, 8, 8)) -> Original:
    """Export a net whose batch norms have seen data, as the packer does."""
    data = torch.randn(rows, *size)
    net.train()(data * 2 + 1)
    net.eval().requires_grad_(requires_grad=False)
    batch = torch.export.Dim("batch", min=1)
    with quiet(), plain_attention(), torch.no_grad():
        program = torch.export.export(net, (data[:2],), dynamic_shapes=({0: batch},))
    return Original(graph_module(program), Task.CLASSIFICATION, (data,))


def cut(source: Original, share: float, scope: Scope = Scope.GROUP):
    """Remove a share of the channels."""
    return cut_channels(source, Target(share=share, scope=scope))


@pytest.mark.parametrize("net", [*NETS, Encoder])
def test_nothing_removed(net: type[nn.Module]) -> None:
    """Without a channel removed the outputs are those of the original, bit for bit."""
    source = original(net(), size=(3, 8, 8) if net is not Encoder else (5, 4, 4))
    same = cut(source, 0.0).module
    assert weight_count(same) == weight_count(source.module)
    for rows in (1, 2, 3):
        inputs = source.rows[0][:rows]
        assert torch.equal(same(inputs)[0], source.module(inputs)[0])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_pruned_is_masked(net: type[nn.Module], share: float) -> None:
    """A pruned model computes what the original does with the removed channels' weights at zero."""
    source = original(net())
    walk = Walk(source.module, [source.rows[0][:7]], RULES)
    groups = Groups(walk)
    removed = groups.choose(share, Scope.GLOBAL)
    small = remove_channels(walk, removed)
    assert weight_bytes(small) == groups.size_after(removed) < weight_bytes(source.module)
    check_is_masked(source, walk, small, removed)


def check_is_masked(
    source: Original, walk: Walk, small: nn.Module, removed: frozenset[int]
) -> None:
    """Check that a pruned net's outputs are the original's with the removed weights at zero."""
    masked = copy_module(source.module)
    gone = np.array(sorted(removed))
    for name in attribute_names(source.module):
        axes = walk.weights[id(attribute(source.module, name))]
        for dim, axis in enumerate(axes):
            if axis is not None:
                out = torch.from_numpy(np.flatnonzero(np.isin(walk.channels.roots(axis), gone)))
                attribute(masked, name).data.index_fill_(dim, out, 0.0)
    for rows in (1, 2, 5):
        inputs = source.rows[0][:rows]
        torch.testing.assert_close(small(inputs)[0], masked(inputs)[0], rtol=1e-4, atol=1e-5)


class Drawn(nn.Module):
    """A random graph: each step takes tensors of `[N, C, 4, 4]` that are there and adds one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        self.layers = nn.ModuleList()
        self.plan: list[tuple[str, int, int]] = []
        sizes = [3]
        self.add(sizes, 0, 3, 8)
        for _ in range(9):
            one, other = (int(self.random.integers(len(sizes))) for _ in range(2))
            step = str(
                self.random.choice(["conv", "group", "sum", "cat", "gate", "cut", "mix", "flat"])
            )
            size = sizes[one]
            if step == "sum" and size != sizes[other]:
                step = "conv"
            if (step in {"group", "gate", "cut", "mix"} and size % 4) or size < 4:
                step = "conv"
            if step in {"conv", "group", "flat"}:
                wide = 4 * int(self.random.integers(1, 5))
                self.add(sizes, one, size, wide, step)
                continue
            self.plan.append((step, one, other))
            sizes.append({"cat": size + sizes[other], "sum": size}.get(step, size // 2))
            if step == "mix":
                sizes[-1] = size
        self.head = nn.Linear(sizes[-1], 5)

    def add(self, sizes: list[int], one: int, size: int, wide: int, step: str = "conv") -> None:
        """Plan a step with weights."""
        if step == "flat":
            layer: nn.Module = nn.Linear(size * 16, wide * 16)
        elif step == "group":
            groups = int(self.random.choice([2, 4, size]))
            wide = size
            layer = nn.Conv2d(size, wide, 3, padding=1, groups=groups)
        else:
            layer = conv_bn(size, wide)
        self.layers.append(layer)
        self.plan.append((step, one, len(self.layers) - 1))
        sizes.append(wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return five scores."""
        values = [nn.functional.avg_pool2d(x, 2)]
        for step, one, other in self.plan:
            value = values[one]
            match step:
                case "conv" | "group":
                    value = self.layers[other](value)
                case "flat":
                    flat = self.layers[other](value.reshape(value.shape[0], -1))
                    value = flat.relu().view(value.shape[0], -1, 4, 4)
                case "sum":
                    value = value + values[other].relu()
                case "cat":
                    value = torch.cat([value, values[other]], 1)
                case "gate":
                    left, right = value.split(value.shape[1] // 2, dim=1)
                    value = left * right
                case "cut":
                    value = value[:, : value.shape[1] // 2]
                case _:
                    value = value.transpose(1, 2).abs().mean(3, keepdim=True).permute(0, 2, 1, 3)
                    value = value.expand(-1, -1, -1, 4)
            values.append(value)
        return self.head(values[-1].mean((2, 3)))


@pytest.mark.parametrize("seed", range(12))
def test_random_nets(seed: int) -> None:
    """Whatever a net is made of: any channels that can go leave a net with their weights at zero."""
    net = Drawn(seed)
    print(f"seed {seed}: {net.plan}")
    source = original(net)
    walk = Walk(source.module, [source.rows[0][:7]], RULES)
    removed: set[int] = set()
    for group in Groups(walk).groups:
        count = int(net.random.integers(0, max(1, len(group.roots) - 3)))
        removed.update(net.random.choice(group.roots, count, replace=False).tolist())
    print(f"removed {len(removed)}")
    check_is_masked(source, walk, remove_channels(walk, frozenset(removed)), frozenset(removed))


@pytest.mark.parametrize("net", PACKED)
def test_every_net_packs(net: type[nn.Module]) -> None:
    """What is left can be exported with a free batch, and its ONNX file is smaller."""
    source = original(net())
    small = cut(source, 0.5).module
    before, after = (
        pack(as_module(module), source.rows[0][:2], dynamic=True, include_pt2=True)
        for module in (source.module, small)
    )
    assert weight_count(small) < 0.7 * weight_count(source.module)
    assert len(after.contents.onnx) < len(before.contents.onnx)
    assert len(after.contents.pt2) < len(before.contents.pt2)


def as_module(module: nn.Module) -> nn.Module:
    """Wrap a graph module as one that the packer takes."""
    return nn.Sequential(module)


def test_sums_are_tied() -> None:
    """All convolutions that meet in residual sums lose the same channels."""
    small = cut(original(Residual()), 0.5).module
    shapes = {name: tuple(attribute(small, name).shape) for name in attribute_names(small)}
    assert shapes["stem.0.weight"] == (8, 3, 3, 3)
    assert shapes["first.0.weight"] == (8, 8, 3, 3)
    assert shapes["second.0.weight"] == (16, 8, 3, 3)
    assert shapes["project.weight"] == (16, 8, 1, 1)
    assert shapes["head.weight"] == (5, 16)


def test_feed_forward_only() -> None:
    """Of a transformer's layer only the feed-forward part is pruned, and it still runs."""
    source = original(Encoder(), size=(5, 4, 4))
    found = cut(source, 0.5)
    shapes = {n: tuple(attribute(found.module, n).shape) for n in attribute_names(found.module)}
    assert shapes["layer.linear1.weight"] == (32, 16)
    assert shapes["layer.linear2.weight"] == (16, 32)
    assert shapes["layer.self_attn.in_proj_weight"] == (48, 16)
    assert found.pinned
    for rows in (1, 3):
        assert found.module(source.rows[0][:rows])[0].shape == (rows, 5)


def test_recurrent_is_refused() -> None:
    """A net of recurrent cells has nothing to prune, and the reason names the operator."""
    with pytest.raises(BuildError, match=r"nothing can be pruned: .*gru"):
        cut(original(Recurrent(), size=(5, 8, 8)), 0.5)


def test_size_target() -> None:
    """Weights come down to the size asked for, no further than needed; too small is refused."""
    source = original(Residual())
    full = weight_bytes(source.module)
    small = cut_channels(source, Target(size_bytes=full // 2)).module
    assert full // 4 < weight_bytes(small) <= full // 2
    with pytest.raises(BuildError, match="at most, not to 10"):
        cut_channels(source, Target(size_bytes=10))


@pytest.mark.parametrize("scope", list(Scope))
def test_few_channels_stay(scope: Scope) -> None:
    """However much is asked for, every layer keeps at least four channels."""
    small = cut(original(Plain()), 0.99, scope).module
    for name in attribute_names(small):
        value = attribute(small, name)
        assert all(size >= 3 for size in value.shape), name


def test_too_few_rows() -> None:
    """A pruned net is at chance until it has learned again: without rows it is refused."""
    with pytest.raises(BuildError, match="12 calibration rows are too few"):
        ModelPruner(original(Mlp(), rows=12)).prune(Target(), QUICK)


def test_deadline() -> None:
    """A deadline before the first result is a refusal."""
    late = Schedule(steps=20, learning_rate=1e-3, deadline_s=time.monotonic() - 1)
    with pytest.raises(BuildError, match="time limit"):
        ModelPruner(original(Mlp())).prune(Target(), late)


def test_one_row_at_a_time() -> None:
    """A model of a fixed batch of one row trains with the statistics it has."""
    net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    data = torch.randn(40, 6)
    net.train()(data)
    with quiet(), torch.no_grad():
        program = torch.export.export(net.eval().requires_grad_(requires_grad=False), (data[:1],))
    source = Original(graph_module(program), Task.CLASSIFICATION, (data,), batch=1)
    pruned = ModelPruner(source).prune(Target(), QUICK)
    assert pruned.outcome.held_rows == 4
    assert pruned.module(data[:1])[0].shape == (1, 3)


def test_group_norm() -> None:
    """Groups that are normalised together stay equal."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.GroupNorm(4, 32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 3)
    )
    small = cut(original(net), 0.5).module
    shapes = [tuple(attribute(small, name).shape) for name in attribute_names(small)]
    assert shapes == [(16, 3, 3, 3), (16,), (16,), (16,), (3, 16 * 36), (3,)]
    assert small(torch.randn(3, 3, 8, 8))[0].shape == (3, 3)


def test_same_seed_same_weights() -> None:
    """The seed decides the weights, bit for bit."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        source = original(Plain())
        schedule = Schedule(steps=20, learning_rate=1e-3, seed=seed)
        module = ModelPruner(source).prune(Target(), schedule).module
        states.append([value.numpy().tobytes() for value in module.state_dict().values()])
    assert states[0] == states[1] != states[2]


def test_digits_recover() -> None:
    """Half of the digits' channels can go: after recovery it answers nearly as before."""
    bundle = Bundle.open(bundle_path("digits"))
    module = load_graph(bundle)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    source = Original.of(module, Task.CLASSIFICATION, bundle.calibration(), None)
    told: list[BuildProgress] = []
    schedule = Schedule(steps=200, learning_rate=2e-3)
    pruned = ModelPruner(source).prune(Target(share=0.5), schedule, told.append)
    with torch.no_grad():
        answers = [net(*source.rows)[0].argmax(1) for net in (module, pruned.module)]
    agreement = float((answers[0] == answers[1]).float().mean())
    print(f"seed {schedule.seed}: agreement {agreement:.3f}; {pruned.note}")
    assert agreement >= 0.9
    assert weight_count(pruned.module) < 0.4 * weight_count(module)
    assert told[-1].stage == "train"
    assert told[-1].done <= told[-1].of == 200
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        ((2, 3, 4), (2, 12), [([0], [0]), ([1, 2], [1])]),
        ((2, 12), (2, 3, 4), [([0], [0]), ([1], [1, 2])]),
        ((2, 5, 1, 1), (2, 5), [([0], [0]), ([1, 2, 3], [1])]),
        ((6, 4), (3, 8), [([0, 1], [0, 1])]),
        ((2, 1, 3), (1, 2, 3), [([0], [0, 1]), ([1, 2], [2])]),
        ((0, 3), (3, 0), None),
    ],
)
def test_regroup(before, after, blocks) -> None:
    """A reshape falls into the smallest blocks of dimensions that keep their values."""
    assert regroup(before, after) == blocks


def test_reshape_there_and_back() -> None:
    """Channels survive flattening and its inverse; a block they do not fit makes them stay."""
    channels = Channels()
    axis = channels.fresh(3)
    flat = reshape(channels, (2, 3, 4), (None, axis, None), (2, 12))
    assert flat[1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    back = reshape(channels, (2, 12), flat, (2, 3, 4))
    assert back[1].tolist() == [0, 1, 2]
    assert back[2] is None
    assert channels.reason(0) is None
    assert reshape(channels, (2, 12), flat, (2, 6, 2))[1].tolist() == [0, 0, 1, 1, 2, 2]
    reshape(channels, (2, 12), flat, (2, 2, 6))
    assert channels.reason(0) == "a reshape splits channels"
