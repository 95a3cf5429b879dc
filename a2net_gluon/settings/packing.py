"""Settings of the packing of videos."""

from __future__ import annotations

import dataclasses

from a2net_gluon.fields import COUNT, INPUT_SIZE, PROCESSES, QUALITY, Path, Settings, documented, option
from a2net_gluon.settings.data import Videos

__all__ = ["Packing"]


@documented
@dataclasses.dataclass(frozen=True)
class Packing(Settings):
    """The packing of videos in a form that is read faster; see `a2net_gluon.pack_videos`."""

    data: Videos
    output: Path = option(
        None, name="output", required=True, help="folder: gets train.rec and val.rec, or the videos under their paths"
    )
    reencode: bool = option(
        False, "--reencode", help="videos as H.264 with close keyframes, under the same paths (PyAV)"
    )
    resize: int = option(256, "--resize", rule=INPUT_SIZE, help="shorter edge of longer frames")
    quality: int = option(95, "--quality", rule=QUALITY, help="of the JPEGs")
    keyframes: int = option(16, "--keyframes", rule=COUNT, help="distance of keyframes with --reencode")
    workers: int = option(
        4, "-j", "--num-data-workers", name="num_workers", rule=PROCESSES, help="processes", default_words="4"
    )
