"""All frames of a video one at a time: those of reading by number, and an error where they are not as many."""

import itertools

import numpy as np
import pytest

from a2net_gluon.data import VideoIndex, index_video
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_decoding import DECODERS, all_frames
from tests.helpers.videos import decode_in_order, moving_frames, write_video


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("name", "options"), [("b.mp4", {"bf": 2, "g": 12}), ("a.avi", {"codec": "mpeg4"})])
def test_all_frames_in_order(decoder, name, options, tmp_path):
    path = write_video(tmp_path / name, moving_frames(37), **options)
    frames = all_frames(path, index_video(path, decoder), decoder)
    np.testing.assert_array_equal(np.stack(list(frames)), decode_in_order(path))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("count", [11, 13])
def test_another_number_of_frames_is_an_error(decoder, count, tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_frames(12))
    frames = all_frames(path, VideoIndex(count), decoder)
    assert len(list(itertools.islice(frames, 12))) == 12
    with pytest.raises(DecodeError, match="is not as its index says"):
        next(frames)


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_is_no_video_is_an_error(decoder, tmp_path):
    (tmp_path / "a.mp4").write_text("<html>")
    with pytest.raises(DecodeError, match="a text, not a video"):
        next(all_frames(tmp_path / "a.mp4", VideoIndex(1), decoder))
