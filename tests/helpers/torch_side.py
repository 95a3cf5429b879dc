"""The PyTorch side of a comparison, a program of its own: it runs in an environment that has no MXNet.

Each line on the standard input names a folder with ``net_torch.py`` and ``net.safetensors`` of an export and
``batch.npz``. When a line answers, ``net.npz`` has what the network computes, ``trained.safetensors`` its parameters
after a step of SGD, and ``trained.npz`` what it then computes.
"""

import pathlib
import runpy
import sys

import numpy as np
import torch

STEP = 1e-3  # length of the step of all parameters together


def answer(folder):
    """Answer for one folder."""
    exported = runpy.run_path(str(folder / "net_torch.py"))
    batch = np.load(folder / "batch.npz")
    x, labels = torch.from_numpy(batch["x"]), torch.from_numpy(batch["labels"])
    net = exported["load"](str(folder / "net.safetensors"))
    np.savez(folder / "net.npz", **compute(exported["load"](str(folder / "net.safetensors")), x, labels))
    torch.nn.functional.cross_entropy(net(x.float()), labels).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), STEP)
    torch.optim.SGD(net.parameters(), lr=1).step()
    exported["save"](net, str(folder / "trained.safetensors"))
    np.savez(folder / "trained.npz", **compute(net, x, labels))


def compute(net, x, labels):
    """Logits in single and double precision; loss, gradients, and BN's statistics after it, in double precision."""
    with torch.no_grad():
        found = {"logits32": net.eval()(x.float()).numpy(), "logits": net.double()(x).numpy()}
    net.zero_grad()
    loss = torch.nn.functional.cross_entropy(net.train()(x), labels)
    loss.backward()
    found["loss"] = np.array(loss.item())
    found.update({f"gradient/{name}": one.grad.numpy() for name, one in net.named_parameters()})
    found.update({f"statistic/{name}": one.numpy() for name, one in net.named_buffers() if "running" in name})
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        answer(pathlib.Path(line.strip()))
        print("done", flush=True)
