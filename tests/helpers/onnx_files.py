"""ONNX files as strict readers see them."""

LARGE = 1000  # bytes


def check_strictly(model, shape=None):
    """Check a model and all shapes that ONNX infers in it, as it is, or with its input fixed to `shape`.

    With a fixed input the large weights are known by their shapes alone: their values take it long.
    """
    import onnx  # an extra

    fixed = model
    if shape:
        large = [one for one in model.graph.initializer if len(one.raw_data) > LARGE]
        fixed = onnx.ModelProto()
        fixed.CopyFrom(model)
        del fixed.graph.initializer[:]
        fixed.graph.initializer.extend(one for one in model.graph.initializer if len(one.raw_data) <= LARGE)
        for value in (*fixed.graph.input, *fixed.graph.output):
            for length, number in zip(value.type.tensor_type.shape.dim, shape if value.name == "data" else shape[:1]):
                length.dim_value = number
        fixed.graph.input.extend(onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in large)
    onnx.checker.check_model(fixed, full_check=True)
    onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True)


def lengths(value):
    """The lengths of one array of a graph: numbers, or names of open ones ("" without a name)."""
    return [length.dim_param or length.dim_value or "" for length in value.type.tensor_type.shape.dim]
