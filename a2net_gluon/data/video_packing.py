"""Packing videos that settings name, in either form: records of frames, or videos with close keyframes."""

from __future__ import annotations

import os

from a2net_gluon.data.clip_packing import pack_clips
from a2net_gluon.data.clips import Sampling
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.data.video_datasets import open_videos
from a2net_gluon.data.video_decoding import check_decoder
from a2net_gluon.data.video_lists import list_files
from a2net_gluon.data.videos import Tell
from a2net_gluon.settings import Packing

__all__ = ["pack_videos"]


def pack_videos(packing: Packing, on_skip: OnSkip | None = None, tell: Tell = lambda line: None) -> dict[str, int]:
    """Pack the videos of a data set in a form that is read faster, see `pack_clips` and `reencode_videos`.

    Parameters
    ----------
    packing : settings.Packing
    on_skip : callable, optional
        Called with name and reason of each video that cannot be read.
    tell : callable, optional
        Called with lines for the log.

    Returns
    -------
    dict of str to int
        Number of videos in each ``.rec`` file, or in the folder of the new videos.

    Raises
    ------
    UsageError
        If the data are not there or not of a known form, or PyAV is needed and not installed.
    FailureError
        If the disk has less space than is needed, no video of a part can be read, or nothing can be written.
    """
    data, output, workers = packing.data, packing.output, packing.workers
    if packing.reencode:
        check_decoder("av")
    dataset = open_videos(data, Sampling(1, 1), workers=workers, tell=tell)
    if not packing.reencode:
        return pack_clips(dataset, output, packing.resize, packing.quality, workers, on_skip, tell)
    from a2net_gluon.data.reencoding import reencode_videos  # which needs PyAV

    given = [path for path in (data.train_list, data.val_list) if path]
    lists = list_files(data.path, given, of_ucf101=bool(data.ucf_split))
    count = reencode_videos(dataset, output, lists, packing.resize, packing.keyframes, workers, on_skip, tell)
    return {os.fspath(output): count}
