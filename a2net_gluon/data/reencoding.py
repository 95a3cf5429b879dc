"""Encoding videos again: smaller frames, and keyframes close to each other, so that clips are read without detours."""

from __future__ import annotations

import contextlib
import fractions
import functools
import itertools
import os
import pathlib
import shutil
import tempfile
import typing

import av
import numpy as np
from tqdm import tqdm

from a2net_gluon.data.clip_packing import PARTS, name_below, readable
from a2net_gluon.data.clips import Video
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.disk_estimate import check_disk
from a2net_gluon.data.parallel import results_of
from a2net_gluon.data.samples import Dataset, OnSkip
from a2net_gluon.data.shrinking import shrunk
from a2net_gluon.data.video_decoding import all_frames, index_video
from a2net_gluon.data.video_index import VideoIndex
from a2net_gluon.data.video_pyav import frame_rate
from a2net_gluon.data.videos import Tell, VideoFile
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output, replacing

__all__ = ["reencode_videos"]

_MEASURED = 64  # frames of a video from which its bytes are estimated
_X264 = {"crf": "23", "sc_threshold": "0", "threads": "1", "x264-params": "open-gop=0"}


class _Job(typing.NamedTuple):
    """A video to encode."""

    video: VideoFile
    target: pathlib.Path


def reencode_videos(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    lists: typing.Sequence[str | os.PathLike[str]] = (),
    resize: int = 256,
    keyframes: int = 16,
    workers: int = 0,
    on_skip: OnSkip | None = None,
    tell: Tell = lambda line: None,
) -> int:
    """Encode the video files of a data set as H.264 in MP4, under the names that they have; returns their number.

    The names stay, with their endings, so that lists of the videos stay valid; decoders tell a format by the content.
    Each file is decoded, to count its frames, before it gets its name. Files that are there and have the right number
    of frames are kept: what was interrupted goes on where it was.

    Parameters
    ----------
    dataset : Dataset
        Of `video_dataset`.
    folder : str or Path
    lists : sequence of str or Path
        Files to copy: below the folder of the data, to the same place; from elsewhere, into `folder` itself.
    resize : int
        Length of the shorter edge in pixels; smaller videos keep their size, but for odd numbers of pixels.
    keyframes : int
        Distance from one keyframe to the next.
    workers, on_skip, tell
        As for `pack_clips`.

    Raises
    ------
    UsageError
        If a video is not below the folder of the data, `folder` is that folder, or two lists have one name.
    FailureError
        If the disk has less space than is needed, no video can be read, or nothing can be written.
    """
    folder = pathlib.Path(folder)
    if folder.resolve() == pathlib.Path(dataset.name).resolve():
        raise UsageError(f"{folder} is the folder of the videos themselves: choose another")
    jobs = _jobs(dataset, folder)
    copies = _copies(dataset.name, folder, lists)
    folder_for_output(folder)
    measure = functools.partial(_measure, resize=resize, keyframes=keyframes)
    tell(check_disk(folder, [job.video for job in jobs], measure))
    skipped = dict(dataset.unreadable)
    encode = functools.partial(_encode_job, resize=resize, keyframes=keyframes)
    problems = results_of(encode, jobs, workers, lambda job: job.video.path)
    for problem, job in tqdm(zip(problems, jobs), "encoding", len(jobs), unit=" videos", disable=None):
        if problem:
            skipped[job.video.path] = problem
    for name, reason in skipped.items():
        if on_skip:
            on_skip(name, reason)
    written = len([job for job in jobs if job.video.path not in skipped])
    if not written:
        raise FailureError(f"{dataset.name}: not a single video could be encoded")
    for path, target in copies.items():
        with replacing(folder_for_output(target.parent) / target.name) as temporary:
            shutil.copyfile(path, temporary)
    return written


def _jobs(dataset: Dataset, folder: pathlib.Path) -> list[_Job]:
    """Each video file once."""
    jobs = {}
    for part in PARTS:
        for _, video in readable(dataset, part):
            if not isinstance(video, VideoFile):
                raise UsageError(f"{video}: a folder of frames; pack it as frames, without --reencode")
            name = name_below(video.path, dataset.name)
            if name is None:
                raise UsageError(
                    f"{video.path} is not below {dataset.name}: --reencode keeps the paths below --data-dir"
                )
            jobs[video.path] = _Job(video, folder / name)
    return list(jobs.values())


def _copies(root: str, folder: pathlib.Path, lists: typing.Sequence[str | os.PathLike[str]]) -> dict[str, pathlib.Path]:
    """The copy of each list, by the path of the list."""
    targets = {path: folder / (name_below(path, root) or os.path.basename(path)) for path in map(str, lists)}
    for path, target in targets.items():
        for other, same in targets.items():
            if other != path and same == target:
                raise UsageError(f"{path} and {other} would both be copied to {target}: give them different names")
    return targets


def _encode_job(job: _Job, resize: int, keyframes: int) -> str | None:
    """Encode a video unless it is there; returns the reason if it cannot be."""
    frames = job.video.length()
    with contextlib.suppress(DecodeError):
        if index_video(job.target).frames == frames:
            return None
    try:
        with replacing(folder_for_output(job.target.parent) / job.target.name) as temporary:
            _encode(temporary, job.video.frames(), frame_rate(job.video.path), resize, keyframes)
            written = sum(1 for _ in all_frames(temporary, VideoIndex(frames)))
            assert written == frames  # all_frames has compared them
    except DecodeError as error:
        return str(error)
    return None


def _encode(
    path: str | os.PathLike[str],
    frames: typing.Iterator[np.ndarray],
    rate: fractions.Fraction,
    resize: int,
    keyframes: int,
) -> None:
    """Write frames as H.264 in MP4, each shown for the same time."""
    first = shrunk(next(frames), resize, even=True)
    stream: typing.Any  # its type follows from the codec
    with av.open(os.fspath(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("libx264", rate=rate, options={**_X264, "g": str(keyframes)})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        try:
            images = (shrunk(image, resize, even=True) for image in frames)
            for number, image in enumerate(itertools.chain([first], images)):
                if image.shape != first.shape:
                    raise DecodeError("its frames differ in size")
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = number, 1 / rate
                output.mux(stream.encode(picture))
            output.mux(stream.encode())
        finally:
            stream.codec_context.close(strict=False)


def _measure(video: Video, resize: int, keyframes: int) -> tuple[int, int]:
    """Bytes of the first frames of a video when they are encoded, and their number."""
    assert isinstance(video, VideoFile)  # of a job
    count = min(video.length(), _MEASURED)
    with tempfile.NamedTemporaryFile() as file, contextlib.closing(video.frames()) as frames:
        _encode(file.name, itertools.islice(frames, count), frame_rate(video.path), resize, keyframes)
        return os.path.getsize(file.name), count
