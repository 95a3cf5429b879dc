"""Attention maps of videos: the arrays against NumPy, the contact sheet over time, the animation, wrong use."""

import math
import re

import cv2
import matplotlib.text
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

import a2net_gluon as a2
from a2net_gluon.data import Preprocessing
from a2net_gluon.insight import AttentionProbe
from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.insight.attention_canvas import DPI, WIDTH
from a2net_gluon.insight.attention_film import draw_film, draw_moments
from a2net_gluon.networks.description import Description
from tests.helpers.commands import call, error
from tests.helpers.numerics import softmax
from tests.helpers.videos import moving_frames, numbers_shown, write_video

NETWORK = "a2net_resnet20_small_3d"
PLACES = [(0.5, 0.5), (0.1, 0.9)]


def random_block(n, *size):
    rng = np.random.default_rng(n)
    gathering = softmax(3 * rng.normal(size=(n, math.prod(size))), 1).reshape(n, *size)
    return BlockAttention(gathering, softmax(3 * rng.normal(size=(*size, n)), -1))


@pytest.fixture(scope="module")
def net():
    mx.random.seed(1)
    net = a2.get_model(NETWORK, classes=2)
    net.initialize(mx.init.MSRAPrelu())
    return net


@pytest.fixture
def params(net, tmp_path):
    (tmp_path / "run").mkdir()
    net.save_parameters(str(tmp_path / "run" / "best.params"))
    Description(NETWORK, ("run", "walk"), Preprocessing(16, 0.8, frames=4, stride=2)).save(tmp_path / "run/model.json")
    return tmp_path / "run" / "best.params"


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "walk.mp4", moving_frames(15, 20, 32), crf=1)


def test_arrays_are_the_blocks_maps_of_a_clip(net):
    """Against softmax in NumPy of the convolutions' outputs, for a clip of other lengths than the network's own."""
    x = mx.nd.random.normal(shape=(1, 3, 6, 16, 24))
    logits, blocks = AttentionProbe(net).look(x)
    np.testing.assert_allclose(logits, net(x)[0].asnumpy(), rtol=1e-5, atol=1e-6)
    assert list(blocks) == ["conv3:2", "conv4:2"]
    for name, part in net.features._children.items():
        if f"{name}:2" not in blocks:
            x = part(x)
            continue
        for unit, layer in part._children.items():
            if unit == "context2":
                theta, rho = layer.theta(x)[0].asnumpy(), layer.rho(x)[0].asnumpy()
                found = blocks[f"{name}:2"]
                assert found.size == theta.shape[1:]
                expected = softmax(theta.reshape(len(theta), -1), 1).reshape(theta.shape)
                np.testing.assert_allclose(found.gathering_maps, expected, rtol=1e-4, atol=1e-7)
                np.testing.assert_allclose(found.gathering_maps.sum((1, 2, 3)), 1, rtol=1e-5)
                np.testing.assert_allclose(found.distribution_maps, softmax(rho.transpose(1, 2, 3, 0), 3), rtol=1e-4)
                np.testing.assert_allclose(found.distribution_maps.sum(3), 1, rtol=1e-5)
            x = layer(x)
    assert [block.size for block in blocks.values()] == [(3, 4, 6), (2, 2, 3)]


def test_mixtures_shares_and_cells_of_a_clip():
    block = random_block(5, 3, 2, 4)
    relation = block.gathering_maps.reshape(5, 24).T @ block.distribution_maps.reshape(24, 5).T  # Eq. 7
    for number, cell in enumerate(np.ndindex(3, 2, 4)):
        np.testing.assert_allclose(block.mixture(*cell).ravel(), relation[:, number])
    np.testing.assert_allclose(block.shares, block.distribution_maps.reshape(24, 5).mean(axis=0))
    assert [block.cell(*place) for place in ((0, 0), (1, 1), (0.3, 0.9))] == [(1, 0, 0), (1, 1, 3), (1, 1, 1)]


def colours_drawn(figure):
    """The values of all maps of a figure, in the order in which they were drawn, and the ends of their scale."""
    drawn = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    return [np.asarray(image.get_array()) for image in drawn], drawn[0].norm.vmin, drawn[0].norm.vmax


def texts_apart(figure):
    """The words of a figure; no text meets another or a picture, or leaves the figure."""
    found = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in found if not isinstance(text, matplotlib.text.Annotation)]
    pictures = [axes.get_window_extent() for axes in figure.axes if axes.images]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= WIDTH, found[number]
        assert 0 <= box.y0 < box.y1 <= figure.get_figheight() * DPI, found[number]
        assert not any(box.overlaps(other) for other in boxes[:number] + pictures), found[number]
    return "\n".join(text.get_text() for text in found)


@pytest.mark.parametrize("times", [(11, 1), (4, 2), (3, 8)])
def test_the_contact_sheet_shows_every_map_over_time(times):
    clip = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    blocks = {"conv3:2": random_block(8, times[0], 4, 4), "conv4:2": random_block(300, times[1], 3, 3)}
    figure = draw_film(clip, blocks, f"{'a$b$ ' * 90}: class run, 98.7 % (net)", 3, PLACES)
    words = texts_apart(figure)
    assert f"Block conv3:2: 8 gathering maps of {times[0]}×4×4 (t×h×w)" in words
    values, low, high = colours_drawn(figure)
    for block in blocks.values():
        count, indices = block.size[0], np.argsort(-block.shares, kind="stable")[:3]
        shown = np.linspace(0, count - 1, min(count, 8)).round().astype(int)
        strips = [block.gathering_maps[index] for index in indices]
        strips += [block.mixture(*block.cell(*place)) for place in PLACES]
        for strip in strips:
            for moment in shown:
                expected = np.clip(strip[moment] * strip.size, low, high)  # 1: as if all count alike
                np.testing.assert_allclose(values.pop(0), expected)
        for index in indices:
            peak = block.gathering_maps[index].max() * strips[0].size
            (written,) = re.findall(rf"^map {index}: hands out [\d.<]+ %\npeak ([\d.]+) × uniform$", words, re.M)
            assert float(written) == pytest.approx(peak, rel=0.06)
    assert values == []


def test_the_animation_goes_through_the_frames():
    clip = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    blocks = {"conv3:2": random_block(8, 4, 4, 4), "conv4:2": random_block(30, 2, 3, 3)}
    figures = list(draw_moments(clip, blocks, "title", 5, PLACES))
    assert len(figures) == 4
    scales = set()
    for number, figure in enumerate(figures):
        words = texts_apart(figure)
        assert f"frame {number + 1} of 4" in words
        assert f"(t×h×w), moment {number // 2 + 1} of 2" in words
        values, low, high = colours_drawn(figure)
        scales.add((low, high))
        assert len(values) == 2 * (5 + 2)
        for place, (block, moment) in enumerate(zip(blocks.values(), (number, number // 2))):
            first = block.gathering_maps[block.shares.argmax()]
            np.testing.assert_allclose(values[7 * place], np.clip(first[moment] * first.size, low, high))
    assert len(scales) == 1  # one scale for the whole animation


def test_files_of_a_video(capsys, params, video, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"\0no video\n")
    out = tmp_path / "out"
    words = ("attention", tmp_path / "bad.mp4", video, "--model", NETWORK, "--params", params, "--maps", 2)
    code, said, problem = call(capsys, *words, "--output", out)
    assert code == 1
    assert problem.startswith(f"{tmp_path}/bad.mp4: ")
    assert re.fullmatch(rf"{video}: (run|walk) [\d.]+ %, see {out}/walk.png, {out}/walk.gif and {out}/walk.npz\n", said)
    assert sorted(path.name for path in out.iterdir()) == ["walk.gif", "walk.npz", "walk.png"]
    with np.load(out / "walk.npz", allow_pickle=False) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "clip": (4, 16, 16, 3),
            "conv3:2/gathering_maps": (64, 2, 4, 4),
            "conv3:2/distribution_maps": (2, 4, 4, 64),
            "conv4:2/gathering_maps": (128, 1, 2, 2),
            "conv4:2/distribution_maps": (1, 2, 2, 128),
        }
        for name in ("conv3:2", "conv4:2"):
            np.testing.assert_allclose(arrays[f"{name}/gathering_maps"].sum(axis=(1, 2, 3)), 1, rtol=1e-5)
        # Frames 4, 6, 8 and 10 of 15: the central clip, resized to 20 × 32 pixels, cropped in the middle.
        whole = np.stack([cv2_frame(video, number)[2:18, 8:24] for number in (4, 6, 8, 10)])
        np.testing.assert_array_equal(arrays["clip"], whole)
    with PIL.Image.open(out / "walk.gif") as animation:
        assert (animation.n_frames, animation.size[0], animation.info["loop"]) == (4, WIDTH, 0)
        pictures = []
        for number in range(4):
            animation.seek(number)
            pictures.append(np.asarray(animation.convert("RGB")))
    assert all(not np.array_equal(one, other) for one, other in zip(pictures, pictures[1:]))
    assert cv2.imread(str(out / "walk.png")).shape[1] == WIDTH


def cv2_frame(path, number):
    """Frame `number` as OpenCV reads the file from the beginning."""
    capture = cv2.VideoCapture(str(path))
    for _ in range(number + 1):
        frame = capture.read()[1]
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def test_the_central_clip_is_shown(video):
    assert numbers_shown(np.stack([cv2_frame(video, number) for number in (4, 10)])) == [4, 10]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("walk.mp4",), "walk.mp4 is a video, a2net_resnet20_small takes images: name images, or a network for clips"),
        (("a.png", "--model", NETWORK), f"a.png is an image, {NETWORK} takes videos: name video files or folders"),
        (("absent", "--model", NETWORK), "absent: no such file, folder or match"),
        (
            ("walk.mp4", "--model", "resnet26_3d"),
            "no double attention block to look into: name a model that has, such as a2net_resnet20_small_3d, a2net_res",
        ),
        (("walk.mp4", "--model", NETWORK, "--blocks", "conv5:1"), "there are: conv3:2, conv4:2"),
    ],
)
def test_wrong_use(capsys, video, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.zeros((20, 20, 3), np.uint8))
    assert message in error(capsys, 2, "attention", *words, "--output", "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "walk.mp4"]
