"""The programs in examples/ answer as the commands do."""

import pathlib
import shutil
import subprocess

import mxnet as mx
import pytest

from a2net_gluon import Predictor, cli
from a2net_gluon.deploy.inputs import crops_of
from tests.helpers.processes import ROOT

CAT = ROOT / "docs" / "cat.jpg"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """examples/predict.c, compiled as its first lines say."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    path = tmp_path_factory.mktemp("c") / "predict"
    home = pathlib.Path(mx.__path__[0])
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{home}/include", f"-L{home}", "-lmxnet", "-lm", f"-Wl,-rpath,{home}"]
    subprocess.run(["gcc", str(ROOT / "examples" / "predict.c"), "-o", str(path), *flags], check=True)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("exported") / "net"
    words = ["export", "a2net_resnet20_small", "--use-pretrained", "--pixels", "--output", str(prefix)]
    assert cli.main(words) == 0
    return prefix


def run(program, *words):
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


def test_c_predicts_as_the_command(program, exported, tmp_path):
    predictor = Predictor(exported)
    (crop,) = crops_of([CAT], predictor.description.preprocessing)
    crop.tofile(tmp_path / "crop.rgb")
    done = run(program, exported, 32, tmp_path / "crop.rgb")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    (prediction,) = predictor.predict([CAT], top=10)
    classes = predictor.description.classes
    assert [classes[int(number)] for number, _ in lines] == list(classes)
    expected = dict(prediction.classes)
    assert max(expected.values()) < 0.999  # the smaller probabilities say something
    for number, probability in lines:
        assert float(probability) == pytest.approx(expected[classes[int(number)]], rel=1e-4)


def test_c_says_what_is_wrong(program, exported, tmp_path):
    (tmp_path / "short.rgb").write_bytes(bytes(100))
    for words, message in (
        ((), "usage: predict PREFIX SIZE PIXELS"),
        ((tmp_path / "absent", 32, tmp_path / "short.rgb"), "absent-symbol.json: cannot be read"),
        ((exported, 32, tmp_path / "short.rgb"), "short.rgb: it has not SIZE x SIZE pixels of three bytes"),
    ):
        done = run(program, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
