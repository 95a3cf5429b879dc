"""Indexes of videos in a file: counted once, again where a video changed, by several processes too."""

import json
import os
import pathlib
import signal

import pytest

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_cache import VideoIndexes
from a2net_gluon.data.video_decoding import DECODERS, index_video
from a2net_gluon.errors import FailureError
from tests.helpers.videos import moving_frames, write_video

FRAMES = moving_frames(60)


@pytest.fixture
def clips(tmp_path):
    """Five videos of 30 to 34 frames, of which the third is cut and the fourth is missing."""
    folder = tmp_path / "videos"
    folder.mkdir()
    paths = [write_video(folder / f"{i}.mov", FRAMES[: 30 + i], "mjpeg", pixels="yuvj420p") for i in range(5)]
    paths[2].write_bytes(paths[2].read_bytes()[:-2000])
    paths[3].unlink()
    return paths


def replace(path, other, filled=True):
    """Give a video the content of another, filled up to the same size, and the same time of change."""
    status = path.stat()
    path.write_bytes(other.read_bytes().ljust(status.st_size * filled, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_video_is_counted_again_only_if_it_changed(tmp_path, clips):
    file, path = tmp_path / "videos.index", clips[1]
    indexes = VideoIndexes(file)
    assert indexes.index(path) == index_video(path)
    assert indexes.index(path).frames == 31
    assert indexes.save()
    replace(path, clips[0])
    assert index_video(path).frames == 30
    assert indexes.index(path).frames == VideoIndexes(file).index(path).frames == 31  # not looked at
    os.utime(path)
    assert indexes.index(path).frames == VideoIndexes(file).index(path).frames == 30
    assert VideoIndexes(file).index(clips[4]) == index_video(clips[4])


def test_a_video_of_another_size_is_counted_again(tmp_path, clips):
    indexes = VideoIndexes(tmp_path / "a")
    assert indexes.index(clips[1]).frames == 31
    replace(clips[1], clips[0], filled=False)
    assert indexes.index(clips[1]).frames == 30


def test_what_is_written(tmp_path):
    """A line for each video, with keyframes; found again from elsewhere, and where the folder was moved."""
    path = write_video(tmp_path / "a \udcff\n.mp4", FRAMES, g=24, bf=2, **{"x264-params": "scenecut=0"})
    file = tmp_path / "videos.index"
    indexes = VideoIndexes(file, "av")
    known = indexes.index(path)
    assert [number for number, _ in known.keyframes] == [24, 48]
    assert indexes.save()
    title, line = (json.loads(line) for line in file.read_text("ascii").splitlines())
    assert title == ["videos of a2net-gluon", 1, "av"]
    times = [value for keyframe in known.keyframes for value in keyframe]
    assert line == [path.name, path.stat().st_size, path.stat().st_mtime_ns, 60, *times]
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    (moved / path.name).write_bytes(bytes(line[1]))
    os.utime(moved / path.name, ns=(0, line[2]))
    assert VideoIndexes(os.path.relpath(moved / file.name)).index(moved / path.name) == known


@pytest.mark.parametrize("workers", [0, 1, 3, 8])
def test_many_videos(tmp_path, clips, workers):
    steps = []
    indexes = VideoIndexes(tmp_path / "a")
    unreadable = indexes.index_all(clips, workers, lambda *counts: steps.append(counts))
    assert unreadable == {
        str(clips[2]): "truncated",
        str(clips[3]): "No such file or directory",
    }
    assert steps == [(done, 5) for done in range(2, 6)]
    for path in clips:
        path.unlink(missing_ok=True)
    assert indexes.save()
    assert len((tmp_path / "a").read_text().splitlines()) == 4
    with pytest.raises(DecodeError, match="No such file"):
        indexes.index(clips[0])


def test_known_videos_are_not_counted(tmp_path, clips):
    indexes = VideoIndexes(tmp_path / "a")
    indexes.index_all(clips[:2])
    replace(clips[1], clips[0])
    steps = []
    assert indexes.index_all([clips[0], clips[1], clips[4]], 2, lambda *counts: steps.append(counts)) == {}
    assert steps == [(3, 3)]
    assert indexes.index(clips[1]).frames == 31
    assert indexes.index_all([], 2) == {}


class Deadly(type(pathlib.Path())):
    """A path that ends any other process that opens it."""

    owner = os.getpid()

    def __fspath__(self):
        if os.getpid() != self.owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__fspath__()


def test_a_process_that_ends_names_its_video(tmp_path, clips):
    paths = [clips[0], clips[1], Deadly(clips[4]), clips[0]]
    with pytest.raises(FailureError, match=f"{clips[4].name}: the process that read it ended, exit code -9"):
        VideoIndexes(tmp_path / "a").index_all(paths, 2)


def test_processes_end_where_the_caller_stops(tmp_path, clips):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VideoIndexes(tmp_path / "a").index_all(clips, 2, stop)
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [pathlib.Path(f"/proc/{child}/status").read_text() for child in children]
    assert not [name for name in names if "State:\tZ" not in name and "python" in name.splitlines()[0]]


TITLE = json.dumps(["videos of a2net-gluon", 1, "av"]).encode()
DAMAGED = {
    "nothing": b"",
    "no JSON": b"\x80\x05K\x01.",
    "another title": b'["videos", 1]\n',
    "another decoder": TITLE.replace(b'"av"', b'"opencv"') + b'\n["0.mov",SIZE,TIME,7]\n',
    "a cut line": TITLE + b'\n["0.mov",SIZE,TIME,7]\n["1.mov",1,2',
    "no list": TITLE + b'\n["0.mov",SIZE,TIME,7]\n{"1.mov":[1,2,3]}\n',
    "a number as text": TITLE + b'\n["0.mov",SIZE,TIME,"7"]\n',
    "a broken number": TITLE + b'\n["0.mov",SIZE,TIME,7.5]\n',
    "true": TITLE + b'\n["0.mov",SIZE,TIME,true]\n',
    "a negative number": TITLE + b'\n["0.mov",SIZE,TIME,-7]\n',
    "no frames": TITLE + b'\n["0.mov",SIZE,TIME,0]\n',
    "half a keyframe": TITLE + b'\n["0.mov",SIZE,TIME,7,3]\n',
    "keyframes in another order": TITLE + b'\n["0.mov",SIZE,TIME,7,3,3,2,2]\n',
    "a keyframe behind the end": TITLE + b'\n["0.mov",SIZE,TIME,7,8,8]\n',
    "a number of 70 bits": TITLE + b'\n["0.mov",SIZE,TIME,7,1,%d]\n' % 2**70,
    "many levels": TITLE + b"\n" + b"[" * 100_000,
    "a line without an end": TITLE + b'\n["' + b"a" * 3_000_000,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_counts_for_nothing_and_is_replaced(clips, kind):
    file, status = clips[0].parent / "index", clips[0].stat()
    content = DAMAGED[kind].replace(b"SIZE", b"%d" % status.st_size).replace(b"TIME", b"%d" % status.st_mtime_ns)
    file.write_bytes(content)
    indexes = VideoIndexes(file, "av")
    assert indexes.index(clips[0]).frames == 30
    assert indexes.save()
    assert len(file.read_text().splitlines()) == 2
    assert VideoIndexes(file, "av").index(clips[0]).frames == 30


def test_the_damage_is_what_is_refused(clips):
    """The line of the table above without its damage is believed."""
    file, status = clips[0].parent / "index", clips[0].stat()
    file.write_bytes(TITLE + b'\n["0.mov",%d,%d,7,3,3]\n' % (status.st_size, status.st_mtime_ns))
    assert VideoIndexes(file, "av").index(clips[0]).frames == 7


def test_a_file_that_cannot_be_written(clips):
    indexes = VideoIndexes(clips[0] / "index")  # in a file
    assert indexes.index(clips[0]).frames == 30
    assert not indexes.save()
    folder = VideoIndexes(clips[0].parent)
    assert folder.index(clips[0]).frames == 30
    assert not folder.save()


def test_more_than_one_json_file_may_hold(tmp_path, clips):
    """The index of a large data set: 100,000 videos with a keyframe each second take 21 MB."""
    file, status = tmp_path / "index", clips[0].stat()
    keyframes = [value for second in range(1, 10) for value in (30 * second, 512 * 30 * second)]
    rest = json.dumps([status.st_size, status.st_mtime_ns, 300, *keyframes])[1:]
    with open(file, "w") as lines:
        lines.write(TITLE.decode() + "\n")
        lines.writelines(f'["class of actions/{number:011d}_000000_000010.mp4",{rest}\n' for number in range(99_999))
        lines.write(f'["videos/0.mov",{rest}\n')
    assert file.stat().st_size > 2**24
    assert VideoIndexes(file, "av").index(clips[0]).frames == 300


@pytest.mark.parametrize("decoder", DECODERS)
def test_with_each_decoder(tmp_path, clips, decoder):
    assert VideoIndexes(tmp_path / "a", decoder).index(clips[4]).frames == 34
