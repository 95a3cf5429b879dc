"""Other programs read the ONNX files that are exported. Those that are not installed are skipped: `make readers`."""

import pathlib
import sys

import pytest

from benchmarks import readers

pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
BOTH = ("a2net_resnet20_small", "a2net_resnet20_small_3d")
ALL = {"images, open", "images, fixed", "clips, open", "clips, fixed"}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """The files of a network for images and of one for clips, both with double attention."""
    folder = tmp_path_factory.mktemp("readers")
    return [task for name in BOTH for task in readers.write_tasks(name, folder, size=32, int8=False)]


@pytest.mark.parametrize(
    ("reader", "newest", "columns"),
    [
        ("OpenCV", False, {"images, fixed"}),
        pytest.param("ONNX Runtime", True, ALL, marks=pytest.mark.peers),
        pytest.param("OpenVINO", True, ALL, marks=pytest.mark.peers),
    ],
)
def test_it_reads_files_and_answers_as_the_network(tasks, tmp_path, reader, newest, columns):
    python = readers.readers_python() if newest else pathlib.Path(sys.executable)
    if not python.is_file():
        pytest.skip(f"{python} is not there: make readers")
    chosen = [task for task in tasks if task.column in columns]
    version, found = readers.read(python, reader, chosen, tmp_path)
    assert {task.column for task in chosen} == columns
    for task, difference in zip(chosen, found):
        assert isinstance(difference, float), f"{reader} {version}, {task.column}: {difference}"
        assert difference < 1e-5, f"{reader} {version}, {task.column}"


def test_a_row_of_the_table(tasks):
    columns = ["images, open", "images, fixed"]
    chosen = [task for task in tasks if task.column in columns]
    found = [1e-6, 3e-6, "cannot read it"]
    assert readers.row("Reader", "1.0", chosen, found, columns) == "| Reader 1.0 | 3.0e-06 | no |"
