"""Attention maps of image files: the arrays against NumPy, the picture, the files, and what goes wrong."""

import re
import shlex
import shutil
import warnings

import cv2
import matplotlib.text
import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.insight import AttentionProbe, attention_maps
from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.insight.attention_canvas import DPI, WIDTH
from a2net_gluon.insight.attention_sheet import draw_sheet
from a2net_gluon.networks.description import Description
from tests.helpers.commands import SMALL, call, error
from tests.helpers.processes import ROOT

CLASSES = ("cat", "dog")


def softmax(values, axis):
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def random_block(n, height, width):
    rng = np.random.default_rng(n)
    gathering = softmax(3 * rng.normal(size=(n, height * width)), 1).reshape(n, height, width)
    return BlockAttention(gathering, softmax(3 * rng.normal(size=(height, width, n)), 2))


@pytest.fixture(scope="module")
def net():
    mx.random.seed(1)
    net = get_model(SMALL, classes=2)
    net.initialize(mx.init.MSRAPrelu())
    return net


@pytest.fixture
def params(net, tmp_path):
    (tmp_path / "run").mkdir()
    net.save_parameters(str(tmp_path / "run" / "best.params"))
    Description(SMALL, CLASSES, Preprocessing(24, 0.8)).save(tmp_path / "run" / "model.json")
    return tmp_path / "run" / "best.params"


@pytest.fixture
def photo(tmp_path):
    """A photo whose green rises and whose red falls from the left to the right."""
    rising = np.tile(np.linspace(0, 255, 90).astype(np.uint8), (60, 1))
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.dstack([np.full_like(rising, 90), rising, 255 - rising]))  # blue, green, red
    return path


def test_arrays_are_the_blocks_maps_of_an_oblong_image(net):
    x = mx.nd.random.normal(shape=(1, 3, 24, 40))
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
                gathering = softmax(theta.reshape(len(theta), -1), 1).reshape(theta.shape)
                found = blocks[f"{name}:2"]
                assert found.size == theta.shape[1:]
                np.testing.assert_allclose(found.gathering_maps, gathering, rtol=1e-4, atol=1e-7)
                np.testing.assert_allclose(found.distribution_maps, softmax(rho.transpose(1, 2, 0), 2), rtol=1e-4)
            x = layer(x)
    assert blocks["conv3:2"].size == (12, 20)
    assert blocks["conv4:2"].size == (6, 10)


def test_maps_of_a_batch_and_of_a_network_without_blocks(net):
    maps = attention_maps(net, mx.nd.zeros((2, 3, 16, 16)))
    assert {array.shape for array in maps.values()} == {(2, 64, 64), (2, 128, 16), (2, 16, 128)}
    plain = get_model("resnet20_small")
    plain.initialize()
    assert attention_maps(plain, mx.nd.zeros((2, 3, 16, 16))) == {}
    assert AttentionProbe(plain).blocks == ()


def test_mixture_is_a_column_of_the_relation_matrix():
    block = random_block(5, 3, 4)
    flat_gathering, flat_distribution = block.gathering_maps.reshape(5, 12), block.distribution_maps.reshape(12, 5)
    relation = flat_gathering.T @ flat_distribution.T  # Eq. 7: from each location (row) to each location (column)
    for row in range(3):
        for column in range(4):
            mixture = block.mixture(row, column)
            np.testing.assert_allclose(mixture.ravel(), relation[:, 4 * row + column])
            assert mixture.sum() == pytest.approx(1)


def test_shares_and_cells():
    block = random_block(5, 3, 4)
    np.testing.assert_allclose(block.shares, block.distribution_maps.reshape(12, 5).sum(axis=0) / 12)
    places = [(0, 0), (1, 1), (0.3, 0.9), (0.99, 0)]
    assert [block.cell(*place) for place in places] == [(0, 0), (2, 3), (2, 1), (0, 3)]


def texts(figure):
    return [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]


@pytest.mark.parametrize(
    ("size", "maps", "places"),
    [((32, 32), 4, [(0.5, 0.5), (0.2, 0.2), (0.8, 0.8)]), ((20, 48), 9, [(0, 0), (1, 1), (0, 1), (1, 0)])],
)
def test_sheet_names_what_it_shows_and_no_text_meets_another(size, maps, places):
    crop = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    blocks = {"conv3:2": random_block(8, size[0] // 2, size[1] // 2), "conv4:2": random_block(512, 3, 6)}
    figure = draw_sheet(crop, blocks, f"{'a$b$ ' * 90}: class cat, 98.7 % (net)", maps, places)
    found = texts(figure)
    words = "\n".join(text.get_text() for text in found)
    assert "\n" + r"a\$b\$" in words
    assert "class cat, 98.7 % (net)" in words
    assert f"Block conv3:2: 8 gathering maps of {size[0] // 2}×{size[1] // 2} (h×w)" in words
    assert f"{size[0]}×{size[1]} pixels (h×w)" in words
    assert "× uniform" in words
    titles = re.findall(r"map (\d+): hands out ([\d.]+) %\npeak ([\d.]+) × uniform", words)
    peaks = re.findall(r"P1 at x ([\d.]+), y ([\d.]+)\npeak ([\d.]+) × uniform", words)
    for block, (x, y, peak) in zip(blocks.values(), peaks):
        shown, titles = titles[: min(maps, len(block.shares))], titles[min(maps, len(block.shares)) :]
        indices = [int(index) for index, *_ in shown]
        assert indices == sorted(range(len(block.shares)), key=lambda index: -block.shares[index])[:maps]
        shares, largest = np.array([[float(share), float(peak)] for _, share, peak in shown]).T
        np.testing.assert_allclose(shares, 100 * block.shares[indices], atol=0.05, rtol=0.05)
        locations = block.size[0] * block.size[1]
        np.testing.assert_allclose(largest, block.gathering_maps[indices].max(axis=(1, 2)) * locations, rtol=0.05)
        assert (float(x), float(y)) == places[0]
        assert float(peak) == pytest.approx(block.mixture(*block.cell(*places[0])).max() * locations, rel=0.05)
    assert titles == []
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in found if not isinstance(text, matplotlib.text.Annotation)]
    pictures = [axes.get_window_extent() for axes in figure.axes if axes.images]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= WIDTH, found[number]
        assert 0 <= box.y0 < box.y1 <= figure.get_figheight() * DPI, found[number]
        assert not any(box.overlaps(other) for other in boxes[:number] + pictures), found[number]


def test_colours_say_how_many_times_uniform():
    """A map with one outlier, one uniform map, one with two halves: the scale ends at 2, and both ends are reached."""
    halves = np.repeat([[1.5, 0.5]], 10, axis=0).repeat(5, axis=1) / 100
    gathering = np.stack([halves, np.full((10, 10), 0.01)])
    block = BlockAttention(gathering, np.tile([0.6, 0.4], (10, 10, 1)))
    figure = draw_sheet(np.full((10, 10, 3), 128, np.uint8), {"b": block}, "", 2, [(0.5, 0.5)])
    drawn = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    strongest, uniform, mixture = (image.to_rgba(image.get_array()) for image in drawn)
    assert drawn[0].norm.vmax == 2
    assert drawn[0].norm.vmin == 0.5
    assert strongest[0, 0, 0] > 0.9 > 0.1 > strongest[0, 9, 0]  # orange where it is more, blue where it is less
    np.testing.assert_array_equal(uniform[..., 3], 0)  # the photo and nothing else
    assert 0 < mixture[0, 0, 3] < strongest[0, 0, 3]
    np.testing.assert_allclose(drawn[2].get_array(), 0.6 * 100 * halves + 0.4)


def test_files_of_images_with_one_name(capsys, params, photo, tmp_path):
    other = tmp_path / "others" / "photo.jpg"
    other.parent.mkdir()
    cv2.imwrite(str(other), np.full((30, 30, 3), 200, np.uint8))
    folder = tmp_path / "new" / "attention"
    code, out, err = call(capsys, "attention", photo, other, "--params", params, "--output", folder)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["photo-2.npz", "photo-2.png", "photo.npz", "photo.png"]
    assert re.fullmatch(
        rf"{photo}: (cat|dog) \d+\.\d %, see {folder}/photo.png and {folder}/photo.npz", out.split("\n")[0]
    )
    assert f"{folder}/photo-2.png" in out.split("\n")[1]
    with np.load(folder / "photo.npz", allow_pickle=False) as arrays:
        shapes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
        assert shapes == {
            "crop": ((24, 24, 3), "uint8"),
            "conv3:2/gathering_maps": ((64, 12, 12), "float32"),
            "conv3:2/distribution_maps": ((12, 12, 64), "float32"),
            "conv4:2/gathering_maps": ((128, 6, 6), "float32"),
            "conv4:2/distribution_maps": ((6, 6, 128), "float32"),
        }
        for name in ("conv3:2", "conv4:2"):
            np.testing.assert_allclose(arrays[f"{name}/gathering_maps"].sum(axis=(1, 2)), 1, rtol=1e-5)
            np.testing.assert_allclose(arrays[f"{name}/distribution_maps"].sum(axis=2), 1, rtol=1e-5)
        assert arrays["crop"][0, 0, 0] > arrays["crop"][0, -1, 0]  # red falls to the right: RGB, not BGR
    sheet = cv2.imread(str(folder / "photo.png"))
    assert sheet.shape[1] == WIDTH
    assert 1000 < sheet.shape[0] < 1600
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000
    assert not np.array_equal(sheet, cv2.imread(str(folder / "photo-2.png")))


def test_file_name_the_font_cannot_write(capsys, params, photo, tmp_path):
    image = photo.rename(tmp_path / "コウ $x_{ nb\xa0.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        code, _, err = call(capsys, "attention", image, "--params", params, "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    assert (tmp_path / "out" / image.name).is_file()


def test_chosen_blocks_and_size_without_parameters(capsys, photo, tmp_path):
    flags = ("--blocks", "conv4:2", "--input-size", 40, "--crop-ratio", 1, "--maps", 3, "--locations", "0,1")
    code, out, _ = call(capsys, "attention", photo, *flags, "--output", tmp_path / "out")
    assert code == 0
    assert "no --params: random, untrained parameters" in out
    with np.load(tmp_path / "out" / "photo.npz") as arrays:
        assert set(arrays) == {"crop", "conv4:2/gathering_maps", "conv4:2/distribution_maps"}
        assert arrays["conv4:2/gathering_maps"].shape == (128, 10, 10)


def test_undecodable_image_is_named_and_the_others_go_on(capsys, params, photo, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    code, out, err = call(capsys, "attention", bad, photo, "--params", params, "--output", tmp_path / "out")
    assert (code, err) == (1, f"{bad}: not an image OpenCV can decode\n")
    assert out.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo.npz", "photo.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("absent.jpg",), "absent.jpg: no such file"),
        (("--blocks", "conv4:2,conv5:1"), "no double attention block 'conv5:1'; there are: conv3:2, conv4:2"),
        (("--model", "resnet20_small"), "resnet20_small has no double attention block to look into: name a model that"),
        (
            ("--model", "nl_resnet50"),
            "name a model that has, such as a2net_mobilenet_v2, a2net_resnet20_small, a2net_resnet50",
        ),
        (("--model", "resnet51"), "unknown model 'resnet51'"),
        (("--params", "absent.params"), "absent.params: no such parameter file"),
        (("--maps", "0"), "0 is not a whole number from 1 to "),
        (("--locations", "0.5"), "'0.5' is not a position x,y such as 0.5,0.5"),
        (("--locations", "0.5,1.5"), "1.5 is not a number from 1e-09 to 1, or 0"),
        (("--locations", "0.5,nan"), "nan is not a number from 1e-09 to 1, or 0"),
        (("--output", "photos"), "is one of the images, and would be replaced: choose another --output"),
    ],
)
def test_wrong_use(capsys, photo, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    before = photo.read_bytes()
    assert message in error(capsys, 2, "attention", "--output", "out", "photos/photo.png", *flags)
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "photo.png"]
    assert photo.read_bytes() == before


def test_failures(capsys, net, params, photo, tmp_path):
    flags = ("attention", photo, "--params", params, "--output")
    (tmp_path / "file").write_text("in the way")
    assert "cannot write here" in error(capsys, 1, *flags, tmp_path / "file" / "out")
    arrays = mx.nd.load(str(params))
    arrays["output.bias"][:] = float("nan")
    mx.nd.save(str(params), arrays)
    assert "not finite: its parameters are damaged" in error(capsys, 1, *flags, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_documentation(capsys, photo, tmp_path, monkeypatch):
    """The commands in docs/attention.md are run as they stand there, then the code that reads the arrays."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    shutil.copy(photo, "heron.jpg")
    (tmp_path / "street").mkdir()
    shutil.copy(photo, "street/car.jpg")
    for line in re.search(r"```bash\n(.*?)```", text, re.DOTALL)[1].splitlines():
        words = shlex.split(line)
        assert call(capsys, *words[1:])[0] == 0
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert names["gathering"].shape == (128, 8, 8)
