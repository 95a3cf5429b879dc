"""ONNX files as strict readers see them."""


def check_strictly(model, shape=None):
    """Check a model and all shapes that ONNX infers in it, as it is, or with its input fixed to `shape`."""
    import onnx  # an extra

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output) if shape else ():
        for length, number in zip(value.type.tensor_type.shape.dim, shape if value.name == "data" else shape[:1]):
            length.dim_value = number
    onnx.checker.check_model(fixed, full_check=True)
    onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True)


def lengths(value):
    """The lengths of one array of a graph: numbers, or names of open ones ("" without a name)."""
    return [length.dim_param or length.dim_value or "" for length in value.type.tensor_type.shape.dim]
