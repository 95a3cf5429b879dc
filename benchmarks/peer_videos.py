"""Other readers of videos, run by `runner.Worker` in the environment of requirements/bench.txt: one thread each.

Every clip opens its file, as in training, where each clip is of another video.
"""

import os

import numpy as np

from benchmarks import worker

__all__ = ["READERS", "make"]


def make(task):
    """Build the reader of a task, see `worker.serve`."""
    read, version = READERS[task["form"]](task["path"])
    return worker.clip_reader(task, read), {"version": version}


def decord(path):
    """Decord's `get_batch`, which makes an index of the file and seeks."""
    import decord

    def read(numbers):
        return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1).get_batch(numbers).asnumpy()

    return read, f"decord {decord.__version__}"


def pyav(path):
    """PyAV from the beginning to the last frame that is wanted; only these are converted."""
    import av

    def read(numbers):
        wanted, frames = set(numbers), {}
        with av.open(path) as file:
            stream = file.streams.video[0]
            stream.thread_type = "NONE"
            decoded = file.decode(stream)
            for number, frame in enumerate(decoded):
                if number in wanted:
                    frames[number] = frame.to_ndarray(format="rgb24")
                if len(frames) == len(wanted):
                    break
            decoded.close()
            stream.codec_context.close()  # without it PyAV 12 keeps its memory
        return np.stack([frames[number] for number in numbers])

    return read, f"PyAV {av.__version__}"


def torchvision(path):
    """Read as torchvision's `VideoClips` and `read_video` did, which its releases for this PyTorch no longer have.

    The times of all frames are known before. A clip is sought by time; all frames between its first and its last are
    converted, and those in between dropped afterwards.
    """
    import av

    with av.open(path) as file:
        times = sorted(packet.pts for packet in file.demux(video=0) if packet.pts is not None)

    def read(numbers):
        first, last, found = times[numbers[0]], times[numbers[-1]], {}
        with av.open(path, metadata_errors="ignore") as file:
            stream = file.streams.video[0]
            stream.thread_type = "NONE"
            file.seek(max(first - 1, 0), any_frame=False, backward=True, stream=stream)
            decoded = file.decode(stream)
            for frame in decoded:
                found[frame.pts] = frame
                if frame.pts >= last:
                    break
            decoded.close()
            frames = [found[time].to_rgb().to_ndarray() for time in sorted(found) if first <= time <= last]
            stream.codec_context.close()
        return np.stack(frames)[np.subtract(numbers, numbers[0])]

    return read, f"PyAV {av.__version__}"


def opencv(path):
    """OpenCV from the beginning to the last frame that is wanted; only these are converted."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    import cv2

    cv2.setNumThreads(1)

    def read(numbers):
        frames, wanted, number = [], set(numbers), 0
        video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        while len(frames) < len(numbers) and video.grab():
            if number in wanted:
                frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
            number += 1
        video.release()
        return np.stack(frames)

    return read, f"OpenCV {cv2.__version__}"


READERS = {"decord": decord, "pyav": pyav, "torchvision": torchvision, "opencv": opencv}

if __name__ == "__main__":
    worker.serve(make)
