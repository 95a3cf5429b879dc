"""The profile of a run."""

from benchmarks import profile


def line(kind, direction, shape, milliseconds):
    return f"dnnl_verbose,exec,cpu,{kind},jit:avx512,{direction},src_f32 dst_f32,,,{shape},{milliseconds}"


def test_the_least_of_each_shape_counts():
    runs = profile.RUNS
    lines = ["something else"]
    for run in range(runs):
        lines += [line("convolution", "forward_training", "1x8", 2 + run), line("reorder", "undef", "1x8", 1)] * 2
        lines += [line("convolution", "forward_training", "1x16", 10 - run)]
    found = profile.parse(lines)
    assert found == {"convolution, forward_training": (3, 2 * 2 + 10 - (runs - 1)), "reorder": (2, 2)}
    convolutions, rest, reorders, whole = profile.shares(found, 20, 2)
    assert convolutions == {"name": "convolution, forward_training", "number": 3, "image_ms": 5, "share": 0.5}
    assert (rest["name"], rest["image_ms"], rest["share"]) == (profile.REST, 4, 0.4)
    assert (reorders["number"], reorders["share"]) == (2, 0.1)
    assert whole == {"name": "a run", "image_ms": 10}
