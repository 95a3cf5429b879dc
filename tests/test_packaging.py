"""The source distribution holds what a user and a tester need, and its page has no dead links."""

import email
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from tests.helpers.processes import ROOT

# What a checkout has and a distribution does not: results, environments, caches.
LEFT = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "runs", "build", "dist", "*.egg-info", "__pycache__")
WHOLE = ("a2net_gluon", "benchmarks", "docs", "examples", "requirements", "symbols", "tests")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder that a source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT)
    words = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(folder)]
    subprocess.run(words, cwd=folder / "checkout", capture_output=True, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked")
    return next((folder / "unpacked").iterdir())


def test_it_holds_everything(unpacked):
    def names(root):
        return {path.relative_to(root) for folder in WHOLE for path in (root / folder).rglob("*") if path.is_file()}

    there = {name for name in names(ROOT) if "__pycache__" not in name.parts}
    assert len(there) > 300
    assert there == names(unpacked)
    for name in ("Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "train_video.py", ".ci/run"):
        assert (unpacked / name).is_file(), name


def test_tests_run_from_it(unpacked):
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_names.py",
        "tests/test_docs.py",
    ]
    done = subprocess.run([*words, "-k", "not drawn"], cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d+ passed", done.stdout)


def test_its_page(unpacked):
    fields = email.message_from_string((unpacked / "PKG-INFO").read_text(encoding="utf-8"))
    assert "Programming Language :: Python :: 3.12" in fields.get_all("Classifier")
    assert "MXNet" in fields["Keywords"]
    assert fields["Home-page"] in (None, "UNKNOWN")  # there is none
    text = fields.get_payload() or fields["Description"]
    assert "No licence is chosen yet" in text
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "videos (`docs/videos.md`)" in text.replace("Videos", "videos")
