"""The page of attention maps: its numbers against the arrays, and what it shows in a browser under the pointer."""

import base64
import gzip
import json
import re

import cv2
import numpy as np
import pytest

from a2net_gluon import attention, settings
from a2net_gluon.insight.attention import BlockAttention
from a2net_gluon.insight.attention_page import AttentionPage
from tests.helpers.browser import CHROMIUM, browser
from tests.helpers.commands import SMALL, error
from tests.helpers.processes import ROOT

BLOCKS = ("conv3:2", "conv4:2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page about two images, in a folder with their arrays."""
    folder = tmp_path_factory.mktemp("page")
    other = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    cv2.imwrite(str(folder / "a <script>&.png"), other)
    options = settings.Attention(
        files=[ROOT / "docs" / "cat.jpg", folder / "a <script>&.png"], output=folder / "out", pretrained=True, html=True
    )
    assert [report.problem for report in attention(options)] == [None, None]
    return folder / "out"


def content(page):
    """What the page holds, read as JSON."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def unpacked(packed, columns):
    """Peaks of the rows, and the bytes whose squares are their values."""
    peaks = np.frombuffer(base64.b64decode(packed["peaks"]), "<f4")
    roots = np.frombuffer(gzip.decompress(base64.b64decode(packed["roots"])), np.uint8)
    return peaks[:, None], roots.reshape(-1, columns)


def test_the_numbers_are_those_of_the_arrays(folder):
    page = (folder / "attention.html").read_text(encoding="utf-8")
    data = content(page)
    assert data["model"] == SMALL
    assert [picture["name"] for picture in data["pictures"]] == ["cat.jpg", "a <script>&.png"]
    for picture, name in zip(data["pictures"], ("cat", "a <script>&")):
        assert [block["name"] for block in picture["blocks"]] == [*BLOCKS]
        with np.load(folder / f"{name}.npz") as arrays:
            for block in picture["blocks"]:
                gathering, distribution = (
                    arrays[f"{block['name']}/{kind}_maps"] for kind in ("gathering", "distribution")
                )
                assert block["size"] == [*gathering.shape[1:]]
                rows = {
                    "gathering": gathering.reshape(len(gathering), -1),
                    "distribution": distribution.reshape(-1, len(gathering)),
                }
                for kind, expected in rows.items():
                    peaks, roots = unpacked(block[kind], expected.shape[1])
                    np.testing.assert_array_equal(peaks[:, 0], expected.max(axis=1))
                    np.testing.assert_allclose(roots, 255 * np.sqrt(expected / peaks), atol=0.501)


def test_the_page_reaches_for_nothing(folder):
    page = (folder / "attention.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert re.findall(r"(?:src|href)=|https?:|@import|url\(|fetch\(|XMLHttp", page) == []
    assert page.count("<script") == 2


def test_a_page_that_would_be_too_large_is_refused(capsys, tmp_path):
    flags = ("--input-size", 640, "--html", "--output", tmp_path / "out")
    message = error(capsys, 2, "attention", ROOT / "docs" / "cat.jpg", *flags)
    assert "the page would hold 20 million values of attention maps, 12 are possible: name fewer files" in message
    assert not (tmp_path / "out").exists()


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def shown(chromium, folder):
    chromium.open(folder / "attention.html")
    return chromium


def overlay(page, block):
    """Colours (h, w, 4) over the picture of a block."""
    canvas = f"document.querySelector('[data-block=\"{block}\"] canvas')"
    height, width = page.run(f"[{canvas}.height, {canvas}.width]")
    pixels = page.run(f"[...{canvas}.getContext('2d').getImageData(0, 0, {width}, {height}).data]")
    return np.array(pixels).reshape(height, width, 4)


def colours(values, data):
    """What the page must draw for multiples of the uniform weight."""
    signed = np.clip(np.log2(values) / data["pictures"][0]["steps"], -1, 1)
    return np.array(data["colours"])[np.rint((signed + 1) / 2 * 254).astype(int)]


def check_drawn(page, block, values, data, moment=...):
    """8 bits of the weights and of the colours allow a few steps on a scale of 255 colours."""
    drawn, expected = overlay(page, block), colours(values * values.size, data)[moment]
    assert np.abs(drawn[..., 3] - expected[..., 3]).max() <= 12
    clear = expected[..., 3] > 40  # where the colours are far from their middle
    assert clear.any()
    np.testing.assert_array_equal((drawn[..., 0] > drawn[..., 2])[clear], (expected[..., 0] > expected[..., 2])[clear])


def place_of(page, block, x, y):
    """Pixels of a relative position in the picture of a block."""
    box = page.run(
        f"(({{left, top, width, height}}) => [left, top, width, height])"
        f"(document.querySelector('[data-block=\"{block}\"]').getBoundingClientRect())"
    )
    return box[0] + x * box[2], box[1] + y * box[3]


@needs_browser
@pytest.mark.parametrize(("x", "y"), [(0.1, 0.2), (0.55, 0.85), (0.97, 0.97)])
def test_under_the_pointer_is_what_the_location_receives(shown, folder, x, y):
    data = content((folder / "attention.html").read_text(encoding="utf-8"))
    shown.mouse(*place_of(shown, "conv4:2", x, y))
    assert f"x {x:.2f}, y {y:.2f}" in shown.run("document.getElementById('status').textContent")
    with np.load(folder / "cat.npz") as arrays:
        for block in BLOCKS:
            gathering, distribution = arrays[f"{block}/gathering_maps"], arrays[f"{block}/distribution_maps"]
            height, width, count = distribution.shape
            mine = distribution[int(y * height), int(x * width)]
            check_drawn(shown, block, np.tensordot(mine, gathering, 1), data)
            panel = f"document.querySelector('[data-block=\"{block}\"]').parentElement"
            listed = shown.run(f"[...{panel}.querySelectorAll('button')].map(one => Number(one.dataset.descriptor))")
            assert len(listed) == 6
            np.testing.assert_allclose(mine[listed], np.sort(mine)[::-1][:6], rtol=0.03)


@needs_browser
def test_a_descriptor_is_picked_and_let_go(shown, folder):
    data = content((folder / "attention.html").read_text(encoding="utf-8"))
    shown.mouse(*place_of(shown, "conv3:2", 0.3, 0.3))
    panel = "document.querySelector('[data-block=\"conv3:2\"]').parentElement"
    before = overlay(shown, "conv3:2")
    x, y = shown.run(
        f"(({{left, top}}) => [left + 9, top + 9])({panel}.querySelector('button').getBoundingClientRect())"
    )
    shown.mouse(x, y, "mousePressed", "mouseReleased")
    picked = int(shown.run(f"{panel}.querySelector('button[aria-pressed=true]').dataset.descriptor"))
    with np.load(folder / "cat.npz") as arrays:
        check_drawn(shown, "conv3:2", arrays["conv3:2/gathering_maps"][picked], data)
    shown.key("Escape")
    np.testing.assert_array_equal(overlay(shown, "conv3:2"), before)


@needs_browser
def test_by_keyboard(shown):
    status = "document.getElementById('status').textContent"
    heading = "document.getElementById('heading').textContent"
    before = [shown.run(status), overlay(shown, "conv4:2")]
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown"):
        shown.key(key)
    assert shown.run(status) == "Location x 0.41, y 0.59"  # maps of 16×16: from 0.5 to cells 6 and 9
    assert not np.array_equal(overlay(shown, "conv4:2"), before[1])
    shown.key("n")
    shown.wait(f"{heading}.startsWith('a <script>&.png: class ')")
    shown.key("n")
    shown.wait(f"{heading}.startsWith('cat.jpg: class ')")
    shown.run("document.querySelector('.view').focus()")
    shown.key("Enter")
    assert shown.run(status).endswith(", kept")


@needs_browser
def test_blocks_can_be_left_out_and_pages_be_dark(chromium, folder):
    background = "getComputedStyle(document.body).backgroundColor"
    chromium.open(folder / "attention.html", dark=True)
    assert chromium.run(background) == "rgb(22, 24, 27)"
    chromium.run("document.querySelector('#blocks input').click()")
    chromium.wait("[...document.querySelectorAll('.view')].map(view => view.dataset.block).join() === 'conv4:2'")
    chromium.open(folder / "attention.html")
    assert chromium.run(background) == "rgb(255, 255, 255)"


@needs_browser
def test_moments_of_a_clip(chromium, tmp_path):
    rng = np.random.default_rng(0)
    gathering, distribution = rng.dirichlet(np.ones(4 * 6 * 5), 7), rng.dirichlet(np.ones(7), 4 * 6 * 5)
    block = BlockAttention(gathering.reshape(7, 4, 6, 5), distribution.reshape(4, 6, 5, 7))
    page = AttentionPage("net")
    page.add("clip.mp4", rng.integers(0, 256, (8, 24, 20, 3), np.uint8), {"b": block}, "cat", 0.5)
    (tmp_path / "clip.html").write_text(page.render(), encoding="utf-8")
    chromium.open(tmp_path / "clip.html")
    status = "document.getElementById('status').textContent"
    assert "frame 5 of 8" in chromium.run(status)
    for _ in range(7):
        chromium.key(",")
    assert "frame 1 of 8" in chromium.run(status)
    check_drawn(chromium, "b", block.mixture(0, 3, 2), content(page.render()), moment=0)
    chromium.run("document.querySelector('.view').focus()")
    chromium.key("Enter")
    for _ in range(3):
        chromium.key(".")
    assert "frame 1 of 8, kept" in chromium.run(status)  # the location stays, another moment of its map is shown
    check_drawn(chromium, "b", block.mixture(0, 3, 2), content(page.render()), moment=1)
