"""PyTorch's DataLoader over the same JPEGs, as a contender."""

import numpy as np
import torch.utils.data

from benchmarks import peer_images, worker

__all__ = ["reading"]


def reading(task):
    """Take batches of a DataLoader: tensors (N, 3, h, w) of uint8 in this process, and labels, as our readers give.

    Epochs follow each other, so that workers never wait for a turn's end; they are processes without further threads.
    """
    paths = worker.find_jpegs(f"{task['folder']}/images/train")
    classes = sorted({path.parent.name for path in paths})
    labels = [classes.index(path.parent.name) for path in paths]
    loader = torch.utils.data.DataLoader(
        peer_images.Photographs(paths, labels, task["size"]),
        batch_size=task["batch"],
        sampler=peer_images.Endless(len(paths)),
        num_workers=task["workers"],
        persistent_workers=True,
        worker_init_fn=peer_images.prepare_worker,
    )
    run = worker.taking(iter(loader), task["reads"])
    run()
    worker.save_answers(task, {"pixels": _first_crops(task)})
    return run


def _first_crops(task):
    """What the workers make of a few images, each with random numbers of its own."""
    crops = []
    for number, path in enumerate(worker.first_photographs(task)):
        image = peer_images.decode(path)
        draws = peer_images.draw(np.random.default_rng(number), image.shape[1], image.shape[0])
        crops.append(peer_images.augment(image, draws, task["size"]))
    return np.stack(crops)
