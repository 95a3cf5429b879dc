"""The files of the scenario video-readers, and our reader of them."""

import fractions
import pathlib

import av
import cv2
import numpy as np

from a2net_gluon.data import index_video, read_frames
from benchmarks import worker

__all__ = ["read_clips", "write_videos"]

RATE = 25


def write_videos(task):
    """Write the same frames in each encoding of a task; the facts are the paths and sizes of the files."""
    count, height, width = task["generated"]
    files = {}
    for number, (name, (codec, ending, options)) in enumerate(task["encodings"].items()):
        path = pathlib.Path(task["folder"]) / f"{number}.{ending}"
        _encode(path, made_frames(count, height, width), codec, options)
        files[name] = {"path": str(path), "kilobytes": path.stat().st_size / 1e3}
    return (lambda: None), {"videos": files}


def made_frames(count, height, width):
    """Yield `count` frames (height, width, 3): a camera that moves over noise in octaves, with noise of its own."""
    side = max(height, width)
    (scene,) = worker.images({"batch": 1, "size": 2 * side})
    scene = np.clip(128 + 40 * scene.transpose(1, 2, 0), 0, 255).astype(np.uint8)
    scene = cv2.GaussianBlur(scene, (0, 0), 1.0)  # then files are as large as those of cameras
    random = np.random.RandomState(0)
    for number in range(count):
        zoom = 1 + 0.2 * np.sin(number / 41)
        x, y = (side / 2 * (1 + 0.5 * np.sin(number / period)) for period in (37, 29))
        place = np.array([[zoom, 0, x], [0, zoom, y]])
        frame = cv2.warpAffine(scene, place, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        noise = random.randint(-2, 3, frame.shape)
        yield np.clip(frame + noise, 0, 255).astype(np.uint8)


def _encode(path, frames, codec, options):
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options={key: str(value) for key, value in options.items()})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, RATE)
        for number, frame in enumerate(frames):
            stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, stream.codec_context.time_base
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
        stream.codec_context.close(strict=False)


def read_clips(task):
    """Read the clips of a task with `a2net_gluon.data.read_frames`; the index of the file is made before."""
    cv2.setNumThreads(1)
    index = index_video(task["path"], decoder="av")
    run = worker.clip_reader(task, lambda numbers: read_frames(task["path"], numbers, index, decoder="av"))
    return run, {"version": f"PyAV {av.__version__}"}
