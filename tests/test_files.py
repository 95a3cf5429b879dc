"""Output files and folders."""

import os
import secrets
import time

import pytest

from a2net_gluon import files
from a2net_gluon.errors import FailureError


@pytest.fixture(params=[0o022, 0o077, 0o002], ids="{:03o}".format)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_and_folders_have_the_usual_mode(tmp_path, umask):
    files.write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    with files.staging_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path, monkeypatch):
    """Names cannot be foretold; even if one were, nothing would be written through it."""
    with files.replacing(tmp_path / "file") as one, files.replacing(tmp_path / "file") as other:
        assert one != other
        assert str(os.getpid()) not in one.name.split(".")
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".file.{'0' * 16}.tmp").symlink_to(victim)
    with pytest.raises(FailureError, match="file: cannot be written"):
        files.write_text(tmp_path / "file", "text")
    assert victim.read_text() == "precious"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    files.write_text(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "file") as temporary:
        temporary.write_text(f"{1 / 0}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_new_folders_are_numbered(tmp_path):
    with files.output_folder(tmp_path / "runs" / "a", new=True) as first:
        with files.output_folder(tmp_path / "runs" / "a", new=True) as second:
            pass
        with pytest.raises(ZeroDivisionError), files.output_folder(tmp_path / "runs" / "a", new=True) as third:
            raise ZeroDivisionError
    assert (first.name, second.name, third.name) == ("a", "a-2", "a-3")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a", "a-2"]


def test_staging_folders_of_killed_processes_go(tmp_path):
    abandoned, fresh = tmp_path / ".staging-abandoned", tmp_path / ".staging-fresh"
    for folder in (abandoned, fresh):
        folder.mkdir()
        (folder / "file").touch()
    long_ago = time.time() - 1000
    os.utime(abandoned, (long_ago, long_ago))
    with files.staging_folder(tmp_path) as in_use:
        os.utime(in_use, (long_ago, long_ago))
        with files.staging_folder(tmp_path) as other:
            assert {path.name for path in tmp_path.iterdir()} == {in_use.name, other.name, fresh.name}


def test_only_our_leftovers_are_removed(tmp_path):
    ours = [".curves.png.1234.tmp", ".best.params.0123456789abcdef.tmp", ".staging-0123456789abcdef"]
    others = [".notes.tmp", "curves.png", ".curves.png.draft.tmp", "x.1234.tmp"]
    for name in (*ours, *others):
        (tmp_path / name).touch()
    files.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(others)
