"""Parameter files: whatever MXNet writes is read, and the rest is refused before MXNet reads it."""

import struct

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.errors import FailureError
from a2net_gluon.formats.arrays import check_array, check_array_file
from a2net_gluon.mxnet_fixes import read_arrays

SHAPE = (2, 3)
HEAD = struct.pack("<QQQ", 0x112, 0, 1)
NAME = struct.pack("<QQ", 1, 1) + b"a"
DATA = np.arange(6, dtype=np.float32).tobytes()


def an_array(magic=0xF993FAC9, storage=0, shape=SHAPE, device=(1, 0), kind=0, data=DATA):
    """An array as MXNet 1.5 to 1.9 write it."""
    return (
        struct.pack("<Ii", magic, storage)
        + struct.pack(f"<i{len(shape)}q", len(shape), *shape)
        + struct.pack("<iii", *device, kind)
        + data
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.params"


def test_the_form_is_the_one_that_mxnet_writes(path):
    mx.nd.save(str(path), {"a": mx.nd.array(np.frombuffer(DATA, np.float32).reshape(SHAPE))})
    assert path.read_bytes() == HEAD + an_array() + NAME


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "uint8", "int8", "int32", "int64"])
def test_every_type(path, kind):
    values = {f"a{rank}": np.ones((2,) * rank, kind) for rank in range(1, 7)}
    mx.nd.save(str(path), {name: mx.nd.array(value, dtype=kind) for name, value in values.items()})
    for name, array in read_arrays(path).items():
        np.testing.assert_array_equal(array.asnumpy(), values[name])


def test_files_of_older_releases(path):
    """Before 1.0 an array began with its rank, and sizes took four bytes; then came a number without storage."""
    oldest = struct.pack("<I2I", 2, *SHAPE) + struct.pack("<iii", 1, 0, 0) + DATA
    older = struct.pack("<Ii2q", 0xF993FAC8, 2, *SHAPE) + struct.pack("<iii", 1, 0, 0) + DATA
    for array in (oldest, older):
        path.write_bytes(HEAD + array + NAME)
        assert read_arrays(path)["a"].asnumpy().tobytes() == DATA


HOSTILE = {
    "rank -1": an_array()[:8] + struct.pack("<i", -1) + an_array()[12:],
    "rank 0": an_array(shape=()),
    "rank 33": an_array(shape=(1,) * 33),
    "rank of two thousand million": an_array()[:8] + struct.pack("<i", 2**31 - 1) + an_array()[12:],
    "negative size": an_array(shape=(-2, -3)),
    "size 0": an_array(shape=(0, 3), data=b""),
    "more than the memory": an_array(shape=(2**40, 2**40)),
    "more than 64 bits": an_array(shape=(2**62, 2**62)),
    "more than the file": an_array(shape=(2, 4)),
    "less than the file": an_array(shape=(2, 2)),
    "sparse": an_array(storage=1),
    "unknown storage": an_array(storage=9),
    "unknown type": an_array(kind=99),
    "negative type": an_array(kind=-1),
    "unknown device": an_array(device=(77, 0)),
    "negative device": an_array(device=(1, -5)),
    "unknown form": an_array(magic=0xF993FAFF),
}


@pytest.mark.parametrize("array", HOSTILE.values(), ids=HOSTILE)
def test_damaged_arrays(path, array):
    path.write_bytes(HEAD + array + NAME)
    with pytest.raises(ValueError, match="it "):
        check_array_file(path)
    with pytest.raises(FailureError, match="net.params: truncated, or not an MXNet parameter file"):
        read_arrays(path)
    with pytest.raises(ValueError, match=r"it |bytes follow"):
        check_array(array)


def test_damaged_lists(path):
    whole = HEAD + an_array() + NAME
    bad = {
        whole.replace(HEAD, struct.pack("<QQQ", 0x112, 0, 2**60)),
        whole.replace(HEAD, struct.pack("<QQQ", 0x113, 0, 1)),
        whole.replace(NAME, struct.pack("<QQ", 2, 1) + b"a"),
        whole.replace(NAME, struct.pack("<QQ", 1, 2**63) + b"a"),
        whole + b"a",
        *(whole[:end] for end in range(len(whole))),
    }
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"\S"):
            check_array_file(path)
