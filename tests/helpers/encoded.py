"""A photograph in every format and kind of pixels that images come in."""

import io

import cv2
import numpy as np
import PIL.Image

from tests.helpers.processes import ROOT

PHOTO = PIL.Image.open(ROOT / "docs" / "cat.jpg").convert("RGB").resize((90, 70))


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def half_the_lines_of_colour():
    """A JPEG with 4:4:0 sampling, which MXNet has to decode: that of a 4:2:2 photograph turned without loss."""
    content = cv2.imencode(".jpg", np.asarray(PHOTO), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x121111])[1].tobytes()
    assert b"\x12\x00\x02\x11" in content  # the sampling factors of the frame
    return content


IMAGES = {
    "jpeg": encoded(PHOTO, "JPEG"),
    "jpeg-440": half_the_lines_of_colour(),
    "jpeg-cmyk": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "png": encoded(PHOTO, "PNG"),
    "png-palette": encoded(PHOTO.convert("P"), "PNG"),
    "png-grey": encoded(PHOTO.convert("L"), "PNG"),
    "png-alpha": encoded(PHOTO.convert("RGBA"), "PNG"),
    "png-bits": encoded(PHOTO.convert("1"), "PNG"),
    "png-16-bit": cv2.imencode(".png", np.asarray(PHOTO).astype(np.uint16) * 257)[1].tobytes(),
    "bmp": encoded(PHOTO, "BMP"),
    "bmp-palette": encoded(PHOTO.convert("P"), "BMP"),
    "tiff": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff-palette": encoded(PHOTO.convert("P"), "TIFF", compression="tiff_lzw"),
    "tiff-plain": encoded(PHOTO, "TIFF"),
    "tiff-jpeg": encoded(PHOTO, "TIFF", compression="jpeg"),
    "ppm": encoded(PHOTO, "PPM"),
    "pgm": encoded(PHOTO.convert("L"), "PPM"),
    "jpeg-progressive": encoded(PHOTO, "JPEG", progressive=True),
    "webp": encoded(PHOTO, "WEBP"),
}
