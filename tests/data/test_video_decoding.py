"""Frames of videos by number: those of reading from the beginning to the last bit, with both decoders, or an error."""

import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_decoding import DECODERS, default_decoder, index_video, read_frames
from a2net_gluon.data.video_index import VideoIndex
from a2net_gluon.environment import IMAGE_LIMIT
from a2net_gluon.errors import UsageError
from tests.helpers import videos
from tests.helpers.processes import ROOT, usual_environment

COUNT = 100
FRAMES = videos.moving_frames(COUNT)
TIMES = np.cumsum(np.random.default_rng(1).integers(5, 90, COUNT)).tolist()
X264 = {"preset": "veryfast", "x264-params": "scenecut=0"}
OPEN_GOP = "open-gop=1:bframes=3:b-adapt=0:scenecut=0"
INTRA = {"preset": "veryfast", "g": 25, "x264-params": "intra-refresh=1"}
X265 = {"preset": "ultrafast", "codec": "libx265"}
VP9 = {"codec": "libvpx-vp9", "deadline": "good", "cpu-used": 5, "auto-alt-ref": 1, "lag-in-frames": 16}

# File name, and how it is encoded.
ENCODED = {
    "without-b.mp4": {**X264, "g": 32, "bf": 0},
    "with-b.mp4": {**X264, "g": 32, "bf": 3},
    "gop-8.mp4": {**X264, "g": 8, "bf": 2},
    "gop-250.mp4": {**X264, "g": 250, "bf": 3},
    "open-gop.mp4": {"preset": "veryfast", "g": 12, "x264-params": OPEN_GOP},
    "intra-refresh.mp4": INTRA,
    "fragments.mp4": {**X264, "g": 32, "container": {"movflags": "frag_keyframe+empty_moov"}},
    "variable-rate.mp4": {**X264, "g": 32, "bf": 3, "times": TIMES},
    "variable-rate.mkv": {**X264, "g": 32, "bf": 3, "times": TIMES},
    "with-b.mkv": {**X264, "g": 32, "bf": 3},
    "with-b.ts": {**X264, "g": 32, "bf": 3},
    "with-b.flv": {**X264, "g": 32, "bf": 3},
    "with-b-h264.avi": {**X264, "g": 32, "bf": 3},
    "444.mp4": {**X264, "g": 32, "pixels": "yuv444p"},
    "hevc.mp4": {**X265, "x265-params": "log-level=none:open-gop=0:keyint=32:min-keyint=32:scenecut=0"},
    "hevc-open-gop.mp4": {**X265, "x265-params": "log-level=none:open-gop=1:bframes=3:keyint=12:min-keyint=12"},
    "vp9.webm": {**VP9, "g": 32},
    "vp8.webm": {**VP9, "g": 32, "codec": "libvpx"},
    "mpeg4.avi": {"codec": "mpeg4", "g": 12},
    "mpeg4-with-b.avi": {"codec": "mpeg4", "g": 12, "bf": 2},
    "mpeg4-with-b.mp4": {"codec": "mpeg4", "g": 12, "bf": 2},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mjpeg.mov": {"codec": "mjpeg", "pixels": "yuvj422p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "g": 12, "bf": 2},
}
# Files with an edit list: their original, the frame that they begin with, and the one before which they end.
EDITED = {
    "edit-list.mp4": ("with-b.mp4", 45, COUNT),
    "edit-list-without-b.mp4": ("without-b.mp4", 45, COUNT),
    "ends-early.mp4": ("with-b.mp4", 0, 60),
    "ends-early-without-b.mp4": ("without-b.mp4", 0, 60),
}
# Which keyframes the encoder made, where seeking must not fail to find them.
KEYFRAMES = {
    **dict.fromkeys(["without-b.mp4", "with-b.mp4", "with-b.mkv", "variable-rate.mp4", "444.mp4"], (32, 64, 96)),
    **dict.fromkeys(["hevc.mp4", "vp9.webm", "vp8.webm", "variable-rate.mkv", "fragments.mp4"], (32, 64, 96)),
    **dict.fromkeys(["gop-8.mp4", "mpeg4.avi", "mjpeg.avi", "mjpeg.mov"], (24, 48, 72, 96)),
    **dict.fromkeys(["gop-250.mp4", "open-gop.mp4", "hevc-open-gop.mp4", "mpeg4-with-b.mp4"], ()),
    **dict.fromkeys([*EDITED, "with-b-h264.avi", "mpeg4-with-b.avi"], ()),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Return a function that makes a video of the tables above, once, and returns its path."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name):
        path = folder / name
        if path.exists():
            return path
        if name in EDITED:
            original, start, end = EDITED[name]
            if start:
                return videos.copy_video(make(original), path, start)
            path.write_bytes(videos.ending_early(make(original).read_bytes(), end))
            return path
        return videos.write_video(path, FRAMES, **ENCODED[name])

    return make


@pytest.mark.parametrize("name", [*ENCODED, *EDITED])
def test_frames_by_number_are_those_of_reading_in_order(video, name):
    path, (_, first, end) = video(name), EDITED.get(name, ("", 0, COUNT))
    truth = videos.decode_in_order(path)
    assert videos.numbers_shown(truth) == list(range(first, end))
    index = index_video(path, "av")
    assert index.frames == index_video(path, "opencv").frames == end - first
    if name in KEYFRAMES:
        assert tuple(number for number, _ in index.keyframes) == KEYFRAMES[name]
    rng = np.random.default_rng(0)
    for _ in range(4):
        start = int(rng.integers(0, len(truth) - 8))
        in_order, anyhow = [start, start + 3, start + 7], rng.integers(0, len(truth), 5).tolist()
        for numbers in ([start], in_order, [*anyhow, anyhow[0]]):
            for arguments in ({"index": index}, {"decoder": "av"}, {"decoder": "opencv"}):
                np.testing.assert_array_equal(read_frames(path, numbers, **arguments), truth[numbers])


def test_the_real_clips(real_data):
    counts = {}
    for path in sorted(real_data("video_clips.tar").iterdir()):
        truth = videos.decode_in_order(path)
        index = index_video(path, "av")
        assert index.frames == index_video(path, "opencv").frames == len(truth)
        for numbers in ([0, len(truth) - 1], [len(truth) - 9, len(truth) - 5], [len(truth) // 2] * 2):
            for arguments in ({"index": index}, {"decoder": "av"}, {"decoder": "opencv"}):
                np.testing.assert_array_equal(read_frames(path, numbers, **arguments), truth[numbers])
        counts[path.name] = index.frames
    assert counts["declares_more_frames_than_it_holds.avi"] == 68  # it declares 444


@pytest.mark.parametrize("decoder", DECODERS)
def test_pictures_are_not_turned(video, tmp_path, decoder):
    original = video("without-b.mp4")
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(videos.turned_by_90_degrees(original.read_bytes()))
    np.testing.assert_array_equal(read_frames(turned, [5], decoder=decoder), videos.decode_in_order(original)[[5]])


def test_ten_bits(tmp_path):
    path = videos.write_video(tmp_path / "deep.mp4", FRAMES[:12], pixels="yuv420p10le", **X264)
    np.testing.assert_array_equal(read_frames(path, [7, 2], decoder="av"), videos.decode_in_order(path)[[7, 2]])
    with pytest.raises(DecodeError, match="more than 8 bits"):
        read_frames(path, [7], decoder="opencv")


def test_with_an_index_reading_begins_at_a_keyframe(video, tmp_path):
    """Behind a damaged part, which is met without an index."""
    original = video("without-b.mp4")
    whole = index_video(original, "av")
    path = tmp_path / "damaged.mp4"
    path.write_bytes(videos.with_zeros(original.read_bytes(), videos.place_of_packet(original, 5), 300))
    truth = videos.decode_in_order(original)
    np.testing.assert_array_equal(read_frames(path, [40, 99], whole), truth[[40, 99]])
    for arguments in ({"numbers": [31], "index": whole}, {"numbers": [40], "decoder": "av"}):
        with pytest.raises(DecodeError, match=r"\d+ damaged packets?; \d+ (of 100 )?frames can be decoded"):
            read_frames(path, **arguments)


def test_frames_that_nothing_needs_are_not_decoded(video, tmp_path):
    """Such a frame can be damaged without harm to others, and only then is reading without it to be seen."""
    original = video("with-b.mp4")
    whole, truth = index_video(original, "av"), videos.decode_in_order(original)
    place, size, number = videos.frame_without_reference(original, 70)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(videos.with_zeros(original.read_bytes(), place + 8, size - 8))
    around = [number - 1, number + 1, number + 5]
    np.testing.assert_array_equal(read_frames(path, around, whole, "av"), truth[around])
    for arguments in ({"numbers": [number], "index": whole}, {"numbers": around}):
        with pytest.raises(DecodeError, match="1 damaged packet; 99 of 100 frames"):
            read_frames(path, decoder="av", **arguments)


def test_an_index_of_another_file(video):
    path = video("with-b.mp4")
    truth, whole = videos.decode_in_order(path), index_video(path, "av")
    (first, time), (second, later), _ = whole.keyframes
    for keyframes in (((first, time + 1),), ((first, time), (second + 1, later))):
        with pytest.raises(DecodeError, match="is not as its index says"):
            read_frames(path, [33, 90], VideoIndex(100, keyframes), "av")
    # Of which only what is read is compared.
    np.testing.assert_array_equal(read_frames(path, [50], VideoIndex(100, ((first, time), (70, 1))), "av"), truth[[50]])
    for decoder in DECODERS:
        with pytest.raises(DecodeError, match="has 100 frames; frame 100 is wanted"):
            read_frames(path, [0, 100], VideoIndex(120), decoder)


@pytest.mark.parametrize("decoder", DECODERS)
def test_numbers_that_no_frame_has(video, decoder):
    path = video("mjpeg.avi")
    for index in (None, index_video(path, decoder)):
        with pytest.raises(DecodeError, match="has 100 frames; frame 100 is wanted"):
            read_frames(path, [100, 1], index, decoder)
        for numbers in ([], [3, -1]):
            with pytest.raises(UsageError, match="one or more numbers from 0 on"):
                read_frames(path, numbers, index, decoder)


@pytest.mark.parametrize("module", [None, types.SimpleNamespace(__version__="99.0")])
def test_opencv_decodes_where_pyav_is_missing_or_unknown(video, monkeypatch, module):
    path = video("with-b.mp4")
    monkeypatch.setitem(sys.modules, "av", module)  # None: it cannot be imported
    default_decoder.cache_clear()
    try:
        assert index_video(path) == VideoIndex(COUNT)  # without keyframes
        with pytest.raises(UsageError, match="decoder 'av' needs PyAV 12: pip install"):
            read_frames(path, [0], decoder="av")
    finally:
        default_decoder.cache_clear()
    monkeypatch.undo()
    assert index_video(path).keyframes


def test_an_unknown_decoder(video):
    with pytest.raises(UsageError, match="decoder 'ffmpeg': it must be one of av, opencv"):
        index_video(video("mjpeg.avi"), "ffmpeg")


def problem(action):
    """The reason of an action that fails; it is the same a second time."""
    reasons = []
    for _ in range(2):
        with pytest.raises(DecodeError) as error:
            action()
        reasons.append(str(error.value))
    assert reasons[0] == reasons[1]
    return reasons[0]


NO_VIDEOS = {
    "missing": (None, "No such file or directory"),
    "empty": (b"", "empty file"),
    "page": (b"<!DOCTYPE html>\n<html>not found \xc3\xa9</html>\n" * 20, "a text, not a video"),
    "list of segments": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nOTHER\n#EXT-X-ENDLIST\n",
        "a text, not a video",
    ),
    "zeros": (bytes(5000), "not a video"),
    "noise": (np.random.default_rng(0).bytes(5000), "not a video"),
    "start of an MP4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41\0\0\0\x08free\0\x10\0\0mdat", "truncated"),
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", NO_VIDEOS)
def test_files_that_are_no_videos(video, tmp_path, capfd, kind, decoder):
    content, reason = NO_VIDEOS[kind]
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content.replace(b"OTHER", str(video("with-b.ts")).encode()))
    for action in (lambda: index_video(path, decoder), lambda: read_frames(path, [0], decoder=decoder)):
        assert problem(action).startswith(reason)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("decoder", DECODERS)
def test_folders_and_devices(tmp_path, decoder):
    assert problem(lambda: index_video(tmp_path, decoder)) == "Is a directory"
    assert problem(lambda: index_video("/dev/null", decoder)) == "not a file"
    assert "null" in problem(lambda: index_video("a\0b", decoder))


def test_a_file_without_pictures(tmp_path):
    path = videos.write_sound(tmp_path / "sound.mp4")
    assert problem(lambda: index_video(path, "av")) == "no video stream"
    assert problem(lambda: index_video(path, "opencv")).startswith("not a video")


def test_an_image_is_no_video(tmp_path):
    path = tmp_path / "cat.mp4"
    path.write_bytes((ROOT / "docs" / "cat.jpg").read_bytes())
    assert problem(lambda: index_video(path, "av")).startswith("not a video")


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_name_that_is_not_utf_8(video, tmp_path, decoder):
    path = tmp_path / "\udcff.mp4"
    path.write_bytes(video("mjpeg.mov").read_bytes())
    if decoder == "av":
        assert index_video(path, decoder).frames == COUNT
    else:
        assert "not UTF-8" in problem(lambda: index_video(path, decoder))


@pytest.mark.parametrize("decoder", DECODERS)
def test_too_many_pixels(video, monkeypatch, decoder):
    monkeypatch.setenv(IMAGE_LIMIT, str(48 * 64))
    assert index_video(video("mjpeg.avi"), decoder).frames == COUNT
    monkeypatch.setenv(IMAGE_LIMIT, str(48 * 64 - 1))
    for action in (lambda: index_video(video("mjpeg.avi"), decoder), lambda: read_frames(video("mjpeg.avi"), [0])):
        assert problem(action).startswith("declares 64×48 pixels, more than 3,071")


def test_frames_of_different_sizes(tmp_path):
    path = tmp_path / "sizes.h264"
    first, second = (
        videos.write_video(tmp_path / f"{side}.h264", videos.moving_frames(10, side, side), bf=0, **X264)
        for side in (48, 64)
    )
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert read_frames(path, [3], decoder="av").shape == (1, 48, 48, 3)
    assert problem(lambda: read_frames(path, [3, 15], decoder="av")) == "its frames differ in size"


FASTSTART = {"container": {"movflags": "faststart"}}
DAMAGED = {
    "mp4": {**X264, **FASTSTART, "g": 32},
    "mkv": {**X264, "g": 32},
    "webm": {**VP9, "g": 32},
    "avi": {"codec": "mpeg4", "g": 12},
}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Return a function that returns the bytes of a video in a container of the table above."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def make(kind):
        if kind not in made:
            made[kind] = videos.write_video(folder / f"clip.{kind}", FRAMES, **DAMAGED[kind]).read_bytes()
        return made[kind]

    return make


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", DAMAGED)
def test_truncated_files(content, tmp_path, capfd, kind, decoder):
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(content(kind)[: len(content(kind)) * 6 // 10])
    for action in (lambda: index_video(path, decoder), lambda: read_frames(path, [1, 99], decoder=decoder)):
        # Matroska declares no number of frames, but OpenCV estimates one.
        assert problem(action).endswith("frames (truncated)")
        assert kind in ("mkv", "webm") or "of 100 frames" in problem(action)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi"])
def test_damage_within_a_file(content, tmp_path, capfd, kind):
    """Seen by PyAV, whatever the frames that are wanted behind it; OpenCV may go on without a word."""
    whole = content(kind)
    flipped = np.frombuffer(whole, np.uint8).copy()
    flipped[np.random.default_rng(0).integers(len(whole) // 4, len(whole) * 3 // 4, 8)] ^= 0xFF
    for name, damaged in (
        ("zeros", videos.with_zeros(whole, len(whole) // 2, len(whole) // 10)),
        ("flipped", flipped.tobytes()),
    ):
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(damaged)
        reason = problem(lambda: read_frames(path, [99], decoder="av"))  # noqa: B023  (called at once)
        assert "damaged packet" in reason
        assert reason == problem(lambda: read_frames(path, [0, 80], decoder="av"))  # noqa: B023
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", DAMAGED)
def test_any_damage_gives_frames_or_a_reason(content, tmp_path, capfd, kind, decoder):
    """The same twice; at the beginning of the file, where the container is described, more often than elsewhere."""
    rng, path, refused = np.random.default_rng(0), tmp_path / f"damaged.{kind}", 0
    for count in np.repeat([1, 4, 32], 8):
        damaged = np.frombuffer(content(kind), np.uint8).copy()
        places = rng.integers(0, len(damaged), count) // rng.choice([1, 1, 50], count)
        damaged[places] = rng.choice([0, 255, 1, 77], count)
        path.write_bytes(damaged.tobytes())
        results = []
        for _ in range(2):
            try:
                results.append(read_frames(path, [0, 20, 40], index_video(path, decoder), decoder).tobytes())
            except DecodeError as error:
                results.append(str(error))
        assert results[0] == results[1]
        refused += isinstance(results[0], str)
    assert refused >= 3
    assert capfd.readouterr() == ("", "")


def test_frames_before_damage_can_be_read(content, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(content("mp4")[: len(content("mp4")) * 6 // 10])
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(content("mp4"))
    for decoder in DECODERS:
        np.testing.assert_array_equal(read_frames(path, [9, 2], decoder=decoder), videos.decode_in_order(whole)[[9, 2]])


GROWTH = """
import json, os, sys
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_decoding import index_video, read_frames

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def use(times):
    for _ in range(times // 4):
        index = index_video(whole, "av")
        read_frames(whole, [3], None, "av")  # the rest of the file stays unread
        read_frames(whole, [26], index, "av")
        try:
            read_frames(cut, [31], None, "av")
        except DecodeError:
            pass

whole, cut = sys.argv[1:]
use(400)
before = memory()
use(2000)
print(json.dumps((memory() - before) / 1e6))
"""


@pytest.mark.slow
def test_memory_of_two_thousand_files(tmp_path):
    whole = videos.write_video(tmp_path / "whole.mp4", FRAMES[:32], **X264, **FASTSTART, g=24)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    words = [sys.executable, "-c", GROWTH, str(whole), str(cut)]
    done = subprocess.run(words, cwd=ROOT, env=usual_environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) < 5  # MB


def test_a_path_is_not_an_address(video, monkeypatch):
    """FFmpeg would take what stands before a colon for a protocol, and follow others."""
    path = video("mjpeg.avi")
    odd = pathlib.Path(path.parent, "concat:a|b.avi")
    odd.write_bytes(path.read_bytes())
    monkeypatch.chdir(path.parent)
    for decoder in DECODERS:
        assert index_video("concat:a|b.avi", decoder).frames == COUNT
