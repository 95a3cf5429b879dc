"""Read ONNX files with one program: ``python reader.py READER TASKS.json``.

Runs in an environment of its own and imports nothing of this project (see readers.py). ``TASKS.json`` holds a list of
``[model, inputs, answers]``: an ONNX file, the inputs for it (.npy), and the file to write its answers to. Prints one
line of JSON: the version of the reader, and for each task null or the reason why it failed.
"""

import json
import sys

import numpy as np


def onnx_runtime():
    """ONNX Runtime on the CPU."""
    import onnxruntime

    def load(path):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, {"data": inputs})[0]

    return onnxruntime.__version__, load


def openvino():
    """OpenVINO on the CPU, in float32: its own choice on newer processors is bfloat16."""
    import openvino

    core = openvino.Core()

    def load(path):
        compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda inputs: compiled(inputs)[0]

    return openvino.__version__.split("-")[0], load


def opencv():
    """OpenCV's module dnn."""
    import cv2

    def load(path):
        net = cv2.dnn.readNetFromONNX(path)

        def forward(inputs):
            net.setInput(inputs)
            return net.forward()

        return forward

    return cv2.__version__, load


READERS = {"ONNX Runtime": onnx_runtime, "OpenVINO": openvino, "OpenCV": opencv}


def main(reader, tasks):
    """Carry out all tasks of the file `tasks` with `reader`; print the report."""
    version, load = READERS[reader]()
    problems = []
    with open(tasks, encoding="utf-8") as file:
        for model, inputs, answers in json.load(file):
            try:
                np.save(answers, load(model)(np.load(inputs)))
                problems.append(None)
            except Exception as error:  # whatever a reader raises is its answer
                problems.append(" ".join(str(error).split()) or type(error).__name__)
    print(json.dumps({"version": version, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
