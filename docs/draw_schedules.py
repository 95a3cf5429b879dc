"""``python docs/draw_schedules.py [PNG]`` draws the learning-rate schedules, to docs/schedules.png unless named."""

import pathlib
import sys

from matplotlib.figure import Figure

from a2net_gluon.settings import Schedule
from a2net_gluon.training.schedules import Length, make_schedule

EPOCHS, STEPS = 100, 20
TITLES = {
    "step": "step (×0.1 after epochs 30, 60, 90)",
    "cosine": "cosine",
    "poly": "poly (power 2)",
    "plateau": "plateau (patience 5, threshold 0.001)",
}


def rising_in_jumps():
    """Training accuracy, made up: it saturates at 50, 65 and 72 %."""
    return [0.5 * (1 - 0.8**n) for n in range(40)] + [0.65 - 0.1 * 0.7**n for n in range(25)] + [0.72] * 35


def main(path):
    """Draw all schedules, with five epochs of warm-up."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    accuracies = rising_in_jumps()
    for axes, (mode, title) in zip(figure.subplots(2, 2).flat, TITLES.items()):
        rate = make_schedule(Schedule(mode, warmup_epochs=5), 0.4, Length(EPOCHS * STEPS, STEPS))
        rates = [rate(step, accuracies[: (step - 1) // STEPS]) for step in range(1, EPOCHS * STEPS + 1)]
        axes.plot([step / STEPS for step in range(1, EPOCHS * STEPS + 1)], rates, label="learning rate")
        axes.set(title=title, xlabel="epoch", ylabel="learning rate")
        axes.grid(alpha=0.3)
        if mode == "plateau":
            other = axes.twinx()
            other.plot(range(1, EPOCHS + 1), accuracies, color="tab:orange", label="training accuracy (made up)")
            other.legend(loc="center right")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("schedules.png"))
