"""The REST form is TensorFlow Serving's, also where a request is wrong."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.registry.registry import Registry
from tests.conftest import MNIST, ROOT, Command
from tests.idx_files import read_mnist
from tests.serve.conftest import Ask, running

PREDICT = "/v1/models/digits:predict"
BLANK = [[0] * 28] * 28


@pytest.fixture(scope="module")
def samples(evaluation: Path) -> dict[str, np.ndarray]:
    with np.load(evaluation / "samples.npz") as file:
        return {name: file[name][:5] for name in ("images", "probabilities")}


def test_rows_get_rows(ask: Ask, samples: dict[str, np.ndarray]) -> None:
    images = samples["images"].tolist()
    for instances in (images, [{"images": image} for image in images]):
        status, answer = ask(PREDICT, {"instances": instances})
        assert status == 200
        said = [row["probabilities"] for row in answer["predictions"]]
        np.testing.assert_allclose(said, samples["probabilities"], atol=1e-5)
        classes = np.argmax(said, 1).tolist()
        assert [row["class"] for row in answer["predictions"]] == classes
        assert [row["class_name"] for row in answer["predictions"]] == [str(c) for c in classes]


def test_columns_get_columns(ask: Ask, samples: dict[str, np.ndarray]) -> None:
    images = samples["images"].tolist()
    for inputs in (images, {"images": images}):
        status, answer = ask(PREDICT, {"inputs": inputs})
        assert status == 200
        np.testing.assert_allclose(
            answer["outputs"]["probabilities"], samples["probabilities"], atol=1e-5
        )
        assert answer["outputs"]["class_name"] == [str(c) for c in answer["outputs"]["class"]]


def test_the_signature_examples_takes_base64(ask: Ask, samples: dict[str, np.ndarray]) -> None:
    def encode(image: np.ndarray) -> dict[str, str]:
        feature = {
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[0])),
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        return {"b64": base64.b64encode(example.SerializeToString()).decode()}

    rows = [encode(image) for image in samples["images"]]
    status, answer = ask(PREDICT, {"signature_name": "examples", "instances": rows})
    assert status == 200
    said = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(said, samples["probabilities"], atol=1e-5)


def test_a_png_is_posted_by_the_command_of_the_docs(server: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^\.venv/bin/python -c .*?:predict$", page, re.MULTILINE | re.DOTALL)
    images, labels = read_mnist(MNIST, "t10k", 1)
    Image.fromarray(images[0]).save(tmp_path / "digit.png")
    [file] = re.findall(r"out/forms/\S+\.png", command)
    command = command.replace(file, str(tmp_path / "digit.png"))
    command = command.replace(".venv/bin/python", sys.executable)
    command = command.replace("http://127.0.0.1:8501", server)
    said = subprocess.check_output(["bash", "-c", command], cwd=ROOT, stderr=subprocess.DEVNULL)
    [row] = json.loads(said)["predictions"]
    assert row["class_name"] == str(labels[0])


def test_the_status_is_that_of_the_champion(ask: Ask) -> None:
    [state] = ask("/v1/models/digits")[1]["model_version_status"]
    assert state["version"] == "1"
    assert state["state"] == "AVAILABLE"
    assert ask("/v1/models/digits/versions/1")[0] == 200
    assert ask("/v1/models/digits/versions/1:predict", {"instances": [BLANK]})[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/models/other", "/v1/models/digits/versions/9", "/v1/models/other:predict", "/x"),
        "/v1/models/digits/versions/" + "1" * 5_000,
        *(f"/v1/models/digits/versions/{version}" for version in ("-1", "01", "%D9%A1", "1.0")),
        *("/page/%00", "/page/" + "a" * 5_000, "/v1/models/%00", "/v1/models/%FF"),
    ],
)
def test_what_is_not_there_is_404(ask: Ask, path: str) -> None:
    status, answer = ask(path, {"instances": [BLANK]} if "predict" in path else None)
    assert status == 404
    assert answer["error"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b"\xff", "JSON Parse error"),
        (b'{"instances": [NaN]}', "NaN is not JSON"),
        (b"[" * 100_000, "JSON Parse error"),
        ([], "either 'instances' or 'inputs'"),
        ({}, "either 'instances' or 'inputs'"),
        ({"instances": [BLANK], "inputs": [BLANK]}, "either 'instances' or 'inputs'"),
        ({"instances": []}, "at least one"),
        ({"instances": 7}, "at least one"),
        ({"instances": [BLANK[1:]]}, "image 0: expected 28 rows .* got a list of 27"),
        ({"instances": [BLANK, [1, [2]]]}, "image 1: expected 28 rows .* got a list of 2"),
        ({"instances": [["a" * 100_000] + [1] * 27]}, "got a string for a row"),
        ({"instances": [[["a" * 5_000] + [1] * 27] * 28]}, "something else than whole numbers"),
        ({"instances": [BLANK, None]}, "image 1: .*got null for the rows"),
        ({"instances": [[[256] * 28] * 28]}, "0 to 255"),
        ({"instances": [[[-1] * 28] * 28]}, "0 to 255"),
        ({"instances": [[[0.5] * 28] * 28]}, "whole numbers"),
        ({"instances": [[["0"] * 28] * 28]}, "whole numbers"),
        ({"instances": [[[True] * 28] * 28]}, "whole numbers"),
        ({"instances": [[[10**30] * 28] * 28]}, "0 to 255"),
        ({"instances": [BLANK], "signature_name": "other"}, "'other' is not known"),
        ({"instances": [BLANK], "signature_name": 1}, "expected a string"),
        ({"instances": [BLANK], "signature_name": "examples"}, "b64"),
        ({"instances": [{"b64": "*"}], "signature_name": "examples"}, "not base64"),
        ({"instances": [{"b64": "\u00e9"}], "signature_name": "examples"}, "not base64"),
        ({"instances": [{"b64": ""}], "signature_name": "examples"}, "784 bytes"),
        ({"instances": [{"b64": "/////w=="}], "signature_name": "examples"}, "784 bytes"),
        ({"instances": [BLANK], "signature_name": "\ud800"}, "is not known"),
        ({"instance": [BLANK]}, "either 'instances' or 'inputs'"),
        (b'{"instances": [' + b"9" * 5_000 + b"]}", "JSON Parse error"),
        (b'{"instances": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", "JSON Parse error|got a"),
        ({"instances": [{"b64": "AAAA"}], "signature_name": "examples"}, "784 bytes"),
    ],
)
def test_a_bad_request_gets_400_and_the_reason(ask: Ask, request_: object, reason: str) -> None:
    status, answer = ask(PREDICT, request_)
    assert status == 400
    assert re.search(reason, answer["error"]), answer


@pytest.mark.parametrize(
    "more",
    [
        {"signature_name": ""},
        {"parameters": {}},  # which Vertex AI's clients send
        {"parameters": {"\ud800": [1]}, "other": 1},
    ],
)
def test_what_tensorflow_serving_passes_over_is_passed_over(ask: Ask, more: dict) -> None:
    assert ask(PREDICT, {"instances": [BLANK]} | more) == ask(PREDICT, {"instances": [BLANK]})


@pytest.mark.parametrize("path", ["digits:classify", "digits:regress", "digits/versions/1:x"])
def test_another_method_says_what_there_is(ask: Ask, path: str) -> None:
    status, answer = ask(f"/v1/models/{path}", {"examples": [{}]})
    assert status == 404
    assert "expected digits:predict with the signature examples or serving_def" in answer["error"]


def test_one_image_of_another_size_is_refused(ask: Ask) -> None:
    for height, width in ((56, 56), (14, 14), (28, 27), (27, 28)):
        status, answer = ask(PREDICT, {"instances": [[[0] * width] * height]})
        assert (status, "expected 28 rows of 28" in answer["error"]) == (400, True)
    assert ask(PREDICT, {"instances": [[[[0] * 3] * 28] * 28]})[0] == 400


def test_a_large_request_is_not_read(ask: Ask) -> None:
    status, answer = ask(PREDICT, b" " * 300_000)
    assert status == 413
    assert "larger than 262,144 bytes" in answer["error"]


@pytest.mark.parametrize("path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page//etc/passwd"])
def test_the_page_leads_nowhere_else(ask: Ask, path: str) -> None:
    assert ask(path)[0] == 404


def test_a_registry_without_a_champion_is_told(tmp_path: Path, command: Command) -> None:
    options = ("--destination", tmp_path, "--port", 0)
    assert "no champion to serve; run the pipeline" in (
        command("components.serve", *options, expect=1).stderr
    )


def test_a_new_champion_is_served_and_a_broken_one_is_not(published: Path, tmp_path: Path) -> None:
    destination = Path(shutil.copytree(published, tmp_path / "registry"))
    registry = Registry.open(str(destination), "digits")
    for version in (2, 3, 4):
        directory = shutil.copytree(
            destination / "digits" / "1", destination / "digits" / str(version)
        )
        manifest = directory / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": version}))
    flipped = next((destination / "digits" / "3" / "variables").glob("*data*"))
    flipped.write_bytes(bytes([flipped.read_bytes()[0] ^ 1]) + flipped.read_bytes()[1:])
    with running(destination, tmp_path / "log") as server:
        output = server.process.stdout
        assert output is not None
        registry.promote(2)
        assert output.readline() == "Serving version 2\n"
        registry.promote(3)
        assert re.match(r"warning: version 2 stays: .*/3: variables/.*: sha256 ", output.readline())
        registry.promote(4)
        assert output.readline() == "Serving version 4\n"
        pointer = destination / "digits" / "champion.json"
        for broken in ('{"version": 9}', "{", '{"version": -1}'):
            pointer.write_text(broken)
            assert output.readline().startswith("warning: version 4 stays: ")
        pointer.unlink()
        registry.promote(1)
        while (line := output.readline()) != "Serving version 1\n":
            assert line.startswith("warning: version 4 stays: ")
