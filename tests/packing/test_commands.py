"""`edgeconsole pack` and `edgeconsole bundle`, through argparse and `run`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeconsole.bundle import Bundle
from edgeconsole.commands import bundle as bundle_command
from edgeconsole.commands import pack as pack_command
from edgeconsole.errors import BundleError, PackError

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids, scale):
        return {"logits": self.head(self.table(ids).mean(1)) * scale}

class Box:
    ready = nn.Linear(3, 2)

def with_inputs():
    return nn.Linear(3, 2), torch.ones(1, 3)

def broken():
    raise RuntimeError("no weights here")

number = 3
"""


def run(*words: str) -> int:
    """Parse and run a command line the way the program does."""
    parser = argparse.ArgumentParser(prog="edgeconsole")
    subparsers = parser.add_subparsers(required=True)
    pack_command.add_parser(subparsers)
    bundle_command.add_parser(subparsers)
    args = parser.parse_args(words)
    code = args.run(args)
    assert isinstance(code, int)
    return code


def pack(*words: str) -> int:
    """Run `pack` with the arguments every call needs."""
    return run(
        "pack", *words, "-o", "out", "--name", "toy", "--version", "2.0", "--task", "classification"
    )


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with the module `acme_net`, as a user would."""
    (tmp_path / "acme_net.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "acme_net", raising=False)


def test_pack_a_class_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """All options together end in a verified bundle and a JSON document that describes it."""
    ids, scale = np.arange(20).reshape(5, 4), np.ones((5, 1), "f4")
    np.savez("calibration.npz", ids=ids, scale=scale)
    np.savez("evaluation.npz", ids=ids, scale=scale, labels=np.array([0, 1, 0, 1, 0]))
    Path("labels.txt").write_text("no\nyes\n")
    code = pack(
        "acme_net:Net", "--example", "ids=1x4:INT64:20", "--example", "scale=1x1:FP32",
        "--labels-file", "labels.txt", "--calibration", "calibration.npz",
        "--evaluation", "evaluation.npz", "--variant", "base", "--json",
    )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    bundle = Bundle.open("out")
    bundle.verify()
    assert code == 0
    assert document["digest"] == bundle.digest
    assert document["manifest"]["labels"] == ["no", "yes"]
    assert bundle.manifest.key == "toy/2.0/base"
    assert [spec.name for spec in bundle.manifest.inputs] == ["ids", "scale"]
    assert bundle.calibration() is not None
    assert bundle.evaluation() is not None


def test_pack_with_a_metric() -> None:
    """`--metric` names what `labels` are for: numbers of the output's shape here."""
    rows = np.ones((4, 3), "f4")
    np.savez("evaluation.npz", input=rows, labels=rows[:, :2] / 3)
    words = ("--evaluation", "evaluation.npz", "--metric")
    assert pack("acme_net:with_inputs", *words, "rmse") == 0
    assert Bundle.open("out").manifest.metric == "rmse"
    with pytest.raises(PackError, match="evaluation: accuracy needs integer labels"):
        pack("acme_net:with_inputs", *words, "accuracy")


def test_pack_what_a_factory_returns(capsys: pytest.CaptureFixture[str]) -> None:
    """A factory may bring its own example; the table then shows what was written."""
    assert pack("acme_net:with_inputs", "--labels", "no, yes", "--static-batch") == 0
    out = capsys.readouterr().out
    assert "toy/2.0/fp32" in out
    assert "fixed" in out
    assert Bundle.open("out").manifest.inputs[0].shape == (1, 3)


def test_pack_a_module_from_an_example_file() -> None:
    """A module may be an attribute of something, examples may come from a file."""
    np.savez("examples.npz", input=np.ones((1, 3), "f4"))
    assert pack("acme_net:Box.ready", "--example-file", "examples.npz") == 0
    assert Bundle.open("out").golden()[0]["input"][0].tolist() == [1, 1, 1]


def test_pack_an_exported_program(capsys: pytest.CaptureFixture[str]) -> None:
    """A `.pt2` file brings its inputs, keeps its free batch, and warns that it is code."""
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(
        torch.nn.Linear(3, 2), (torch.ones(2, 3),), dynamic_shapes=({0: batch},)
    )
    torch.export.save(program, "linear.pt2")
    assert pack("linear.pt2") == 0
    assert "linear.pt2 runs it as code" in capsys.readouterr().err
    assert Bundle.open("out").manifest.is_batched


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acme_net"], "'acme_net' names no model"),
        (["nowhere_net:Net"], "cannot import 'nowhere_net': No module named"),
        (["acme_net:Nothing"], "acme_net has no 'Nothing'"),
        (["acme_net:broken"], r"acme_net:broken\(\) fails: no weights here"),
        (["acme_net:number"], "acme_net:number is int"),
        (["acme_net:Box"], r"acme_net:Box\(\) returns Box"),
        (["acme_net:Net"], "there are no example inputs.*--example"),
        (["missing.pt2"], r"missing\.pt2: is not a file"),
        (["acme_net.py.pt2"], "cannot be loaded"),
        (["acme_net:Net", "--example", "4,4"], "cannot be read.*SHAPE:DATATYPE"),
        (["acme_net:with_inputs", "--calibration", "none.npz"], "No such file"),
        (["acme_net:with_inputs", "--calibration", "acme_net.py"], "not a readable .npz"),
        (["acme_net:with_inputs", "--calibration", "one.npy"], "a single array"),
        (["acme_net:with_inputs", "--evaluation", "rows.npz"], "has no array `labels`"),
        (["acme_net:with_inputs", "--labels-file", "none.txt"], "cannot be read as text"),
    ],
)
def test_pack_errors(words: list[str], message: str) -> None:
    """Each mistake on the command line is a `PackError` that names it; nothing is written."""
    np.savez("rows.npz", input=np.ones((1, 3), "f4"))
    np.save("one.npy", np.ones(3))
    Path("acme_net.py.pt2").write_text("not a program")
    with pytest.raises(PackError, match=message):
        pack(*words)
    assert not Path("out").exists()


@pytest.fixture
def demo() -> str:
    """Return a private copy of the small demo bundle."""
    import shutil

    from edgeconsole.demo.data import bundle_path

    shutil.copytree(bundle_path("digits-tiny"), "demo")
    return "demo"


def test_show(demo: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` prints names, shapes, sizes and the digest; `--json` prints the manifest."""
    assert run("bundle", "show", demo) == 0
    out = capsys.readouterr().out
    bundle = Bundle.open(demo)
    for text in ("digits-tiny/1/fp32", "batch x 1 x 8 x 8", "logits", "model.onnx", bundle.digest):
        assert text in out
    assert run("bundle", "show", demo, "--json") == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["model"] == "digits-tiny"


def test_verify_a_good_bundle(demo: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` of a whole bundle says so and exits 0."""
    assert run("bundle", "verify", demo) == 0
    assert capsys.readouterr().out.startswith("ok: digits-tiny/1/fp32")
    assert run("bundle", "verify", demo, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_verify_a_damaged_bundle(demo: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` of a damaged bundle exits 1 with the file's name; `--json` has the reason."""
    file = Path(demo, "model.onnx")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert run("bundle", "verify", demo) == 1
    assert "model.onnx: SHA-256" in capsys.readouterr().err
    assert run("bundle", "verify", demo, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert "SHA-256" in document["reason"]


def test_verify_runs_the_golden_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle with right hashes and wrong golden outputs is damaged too."""
    from edgeconsole.bundle.writer import Contents, write_bundle
    from edgeconsole.demo.data import bundle_path

    tiny = Bundle.open(bundle_path("digits-tiny"))
    inputs, outputs = tiny.golden()
    contents = Contents(
        onnx=tiny.file_path("model.onnx").read_bytes(),
        golden_inputs=inputs,
        golden_outputs={name: value + 1 for name, value in outputs.items()},
    )
    manifest = tiny.manifest
    write_bundle(
        "wrong", contents, model="wrong", version="1", task=manifest.task,
        inputs=manifest.inputs, outputs=manifest.outputs,
    )  # fmt: skip
    assert run("bundle", "verify", "wrong") == 1
    assert "does not reproduce its golden outputs: output 'logits' is off by" in (
        capsys.readouterr().err
    )


def test_a_variant_for_an_engine_that_is_not_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show` says what it was made for; `verify` does not call whole what it could not run."""
    from edgeconsole.bundle.writer import write_variant
    from edgeconsole.demo.data import bundle_path
    from edgeconsole.engines import Engine, Execution

    tiny = Bundle.open(bundle_path("digits-tiny"))
    inputs, outputs = tiny.golden()
    write_variant(
        "other", tiny, "fp32-litert", model=b"no file of theirs", golden_inputs=inputs,
        golden_outputs=outputs, execution=Execution(Engine.LITERT, max_batch=1),
    )  # fmt: skip
    assert run("bundle", "show", "other") == 0
    assert "litert, fp32, one row at a time" in capsys.readouterr().out
    monkeypatch.setattr("edgeconsole.engines.installed_version", lambda _: "")
    assert run("bundle", "verify", "other") == 1
    said = capsys.readouterr().err
    assert "every hash matches" in said
    assert "pip install 'edgeconsole[litert]'" in said


def test_no_bundle_at_all() -> None:
    """A path that is no folder is a usage error, not a verdict."""
    for action in ("show", "verify"):
        with pytest.raises(BundleError, match="nowhere"):
            run("bundle", action, "nowhere")
