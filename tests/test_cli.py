import gzip
import json
import struct
import sys

import numpy as np
import pytest

from lwps import cli
from lwps.api import default_machine

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))


def lwps(monkeypatch, capsys, *args):
    """Exit status, stdout and stderr of the command."""
    monkeypatch.setattr(sys, "argv", ["lwps", *map(str, args)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def test_devices_lists_processors_and_hand_overs(monkeypatch, capsys, tmp_path):
    file = tmp_path / "devices.json"
    code, out, _ = lwps(monkeypatch, capsys, "devices", "--json", file)
    assert code == 0
    assert "NumPy on" in out
    data = json.loads(file.read_text())
    assert data["processors"][0]["name"] == "cpu"
    assert len(data["handovers"]) == 2 * (len(data["processors"]) - 1)


def test_train_prints_accuracy_and_receipt(monkeypatch, capsys, tmp_path):
    file = tmp_path / "train.json"
    code, out, _ = lwps(monkeypatch, capsys, "train", "mlp", "--epochs", 3, "--batch", 64, "--json", file)
    assert code == 0
    assert "chosen: " in out
    data = json.loads(file.read_text())
    assert data["test_accuracy"] > 0.85
    assert np.mean(data["losses"][-10:]) < 0.5 * np.mean(data["losses"][:3])
    assert data["receipt"]["chosen"] in {r["placement"] for r in data["receipt"]["rows"]}


def test_the_same_seed_gives_the_same_losses(monkeypatch, capsys, tmp_path):
    losses = []
    for name in ("a", "b"):
        lwps(monkeypatch, capsys, "train", "mlp", "--steps", 5, "--placement", "cpu", "--json", tmp_path / name)
        losses.append(json.loads((tmp_path / name).read_text())["losses"])
    assert losses[0] == losses[1]


def idx(values):
    """The bytes of an IDX file."""
    return struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    for part, n in (("train", 64), ("t10k", 20)):
        labels = rng.integers(0, 3, n).astype(np.uint8)
        images = (labels[:, None, None] * 60 + rng.integers(0, 40, (n, 28, 28))).astype(np.uint8)
        (data / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (data / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return data


def test_train_takes_a_folder_of_idx_files(monkeypatch, capsys, folder):
    code, out, _ = lwps(
        monkeypatch, capsys, "train", "lenet5", "--data", folder, "--steps", 4, "--batch", 16, "--placement", "cpu"
    )
    assert code == 0
    assert "64 training and 20 test images of 28x28x1, 3 classes" in out
    assert "test accuracy" in out


def test_a_truncated_data_file_is_named(monkeypatch, capsys, folder):
    file = folder / "t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    code, _, err = lwps(monkeypatch, capsys, "train", "mlp", "--data", folder)
    assert code == 1
    assert "t10k-labels" in err.replace("\n", "")
    assert "Traceback" not in err


def test_bench_writes_a_row_for_each_batch_and_placement(monkeypatch, capsys, tmp_path):
    file = tmp_path / "bench.json"
    placements = ",".join([*default_machine().names, "independent", "layerwise", "mincut", "auto"])
    code, out, _ = lwps(
        monkeypatch,
        capsys,
        "bench",
        "mlp",
        "--image-size",
        8,
        "--batch",
        "1,4",
        "--placements",
        placements,
        "--json",
        file,
    )
    assert code == 0
    assert "mlp, batch 4, 8 pixels: ms a step, median of 11" in " ".join(out.split())
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) == 2 * len(placements.split(","))
    for row in rows:
        assert row["step_s"]["runs"] >= 11
        assert row["step_s"]["min"] <= row["step_s"]["median"] <= row["step_s"]["max"]
        assert row["peak_bytes"] > 0
        assert sum(row["eqns"].values()) > 0
    for batch in (1, 4):
        objectives = {r["placement"]: r["objective_s"] for r in rows if r["batch"] == batch}
        assert objectives.get("mincut", 0) <= min(objectives.values()) + 1e-12


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("train", "resnet19"), "resnet18"),
        (("train", "mlp", "--placement", "mincutt", "--steps", "1"), "mincut"),
        (("train", "mlp", "--processors", "cpu,tpu"), "processors must be among cpu"),
        (("train", "mlp", "--memory", "telepathy"), "svm-fine, svm-coarse, host-ptr, copy"),
        (("train", "mlp", "--batch", "5000"), "at most the"),
        (("bench", "mlp", "--batch", "1,x"), "whole numbers"),
        (("train", "mlp", "--data", "/nowhere"), "/nowhere"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_write(monkeypatch, capsys, args, message):
    code, _, err = lwps(monkeypatch, capsys, *args)
    assert code != 0
    assert message in " ".join(err.split())
    assert "Traceback" not in err
