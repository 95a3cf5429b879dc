"""Implementations in PyTorch. Run by `runner.Worker` in the environment of requirements/bench.txt."""

import importlib.util
import sys

import numpy as np
import torch
from torch import nn

from benchmarks import worker


def make(task):
    """Build the implementation of a task, see `worker.serve`."""
    # Attention far from a location gets weights too small for normal floats, which processors multiply slowly. Our
    # ONNX sessions have the same setting; MXNet's softmax gives zeros, mostly. Threads that start later inherit it.
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    kinds = {"inference": inference, "training": training, "sgemm": sgemm, "input": reading}
    run = kinds[task["kind"]](task)
    return run, {"version": f"torch {torch.__version__}"}


@torch.no_grad()
def inference(task):
    """Logits of a batch."""
    inputs = _channels_last(task, torch.from_numpy(worker.images(task)))
    net = _network(task).eval()
    if task["form"] == "compiled":
        from torch._inductor import config  # large: not in the memory of the other forms

        config.freezing = True  # weights are constants: folds BN and packs weights
        net = torch.compile(net)
    elif task["form"] == "frozen":
        net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, inputs)))
    run = torch.no_grad()(lambda: net(inputs))
    for _ in range(3):  # the graph executor of a frozen network optimises in its first runs
        logits = run()
    worker.save_answers(task, {"logits": logits.numpy()})
    return run


def training(task):
    """A step of SGD with Nesterov momentum."""
    net = _network(task).train()
    inputs = _channels_last(task, torch.from_numpy(worker.images(task)))
    labels = torch.from_numpy(worker.labels(task)).long()
    options = {"momentum": worker.MOMENTUM, "weight_decay": worker.WEIGHT_DECAY, "nesterov": True, "fused": True}
    optimizer = torch.optim.SGD(net.parameters(), worker.LEARNING_RATE, **options)
    forward = torch.compile(net) if task["form"] == "compiled" else net
    criterion = nn.CrossEntropyLoss()

    def backward():
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(forward(inputs), labels)
        loss.backward()
        return loss.item()

    def run():
        backward()
        optimizer.step()

    loss = backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in net.named_parameters()}
    worker.save_answers(task, {"loss": np.array(loss), **gradients})
    run()
    return run


def reading(task):
    """Batches of a DataLoader: tensors (N, 3, h, w) of uint8 in this process, and labels, as our readers give.

    Numbers are drawn without end, so that workers do not wait for the end of an epoch.
    """
    import torch.utils.data

    from benchmarks import peer_images  # has OpenCV, which nothing else here needs

    paths = worker.find_jpegs(f"{task['folder']}/train")
    classes = sorted({path.parent.name for path in paths})
    labels = [classes.index(path.parent.name) for path in paths]
    photographs = peer_images.Photographs(paths, labels, task["size"])
    loader = torch.utils.data.DataLoader(
        photographs,
        batch_size=task["batch"],
        sampler=torch.utils.data.RandomSampler(photographs, replacement=True, num_samples=1 << 40),
        num_workers=task["workers"],
        persistent_workers=True,
        worker_init_fn=peer_images.prepare_worker,
    )
    run = worker.batch_taker(iter(loader), task["reads"])
    run()
    crops = worker.crops_to_compare(task, lambda path, *rest: peer_images.augment(peer_images.decode(path), *rest))
    worker.save_answers(task, {"pixels": crops})
    return run


def sgemm(task):
    """A product of two large matrices."""
    a, b = (torch.from_numpy(matrix) for matrix in worker.matrices(task))
    run = lambda: torch.mm(a, b)  # noqa: E731
    run()
    return run


def _network(task):
    net = import_file(task["torch_code"]).load(task["torch_weights"])
    return _channels_last(task, net.to(getattr(torch, task.get("dtype", "float32"))))


def import_file(path):
    """Import the Python file of an export; torch.compile looks for its code among the modules."""
    spec = importlib.util.spec_from_file_location("exported", path)
    sys.modules["exported"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _channels_last(task, thing):
    layout = torch.channels_last_3d if task["frames"] else torch.channels_last
    return thing.to(memory_format=layout) if task["channels_last"] else thing


if __name__ == "__main__":
    worker.serve(make)
