"""The course of a training run as a picture."""

from a2net_gluon.files import replacing

__all__ = ["draw_curves"]


def draw_curves(history, path):
    """Draw loss, accuracy and learning rate over epochs to PNG file `path`.

    Parameters
    ----------
    history : list of dict
        One for each epoch, as in a run's metrics.csv.
    path : Path
    """
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    epochs = [line["epoch"] for line in history]
    panels = (
        ("loss", {"train_loss": "training", "val_loss": "validation"}, 1),
        (
            "accuracy, %",
            {
                "train_top1": "training top-1",
                "val_top1": "validation top-1",
                "val_top5": "validation top-5",
            },
            100,
        ),
        ("learning rate", {"learning_rate": "at the end of the epoch"}, 1),
    )
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (title, curves, factor) in zip(figure.subplots(1, len(panels)), panels):
        for column, label in curves.items():
            axes.plot(epochs, [factor * line[column] for line in history], label=label, marker=".")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
