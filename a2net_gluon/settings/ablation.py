"""Settings of an ablation: variants of a training run, each trained with several seeds, on one or several cases."""

from __future__ import annotations

import dataclasses
import re
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import PROCESSES, SEEDS, Path, Settings, documented, option
from a2net_gluon.settings.training import Training

__all__ = ["METRICS", "Ablation"]

METRICS = {"accuracy": "accuracy", "class_mean": "mean of classes"}  # with their headings in tables and pictures
_NAME = re.compile(r"\w[\w.,+-]*")  # of a folder too

Variants = typing.Mapping[str, Training]


@documented
@dataclasses.dataclass(frozen=True)
class Ablation(Settings):
    """A grid of training runs; see `a2net_gluon.ablate`.

    `cases` holds, by the name of each case (such as a data set), the settings of all variants, by their names. The
    variants of a case differ in what is to be measured and in nothing else; all cases have the same variants. Seeds
    and folders of the runs are chosen by the ablation. `fewer` names variants that are trained with fewer seeds.
    """

    cases: typing.Mapping[str, Variants]
    baseline: str = option(
        None,
        "--baseline",
        metavar="VARIANT",
        required=True,
        help="name of the variant that all others are compared with",
    )
    seeds: int = option(5, "--seeds", rule=SEEDS, help="runs of each variant, with the seeds 0, 1, …")
    fewer: typing.Mapping[str, int] = dataclasses.field(default_factory=dict)
    metric: str = option(
        "accuracy",
        "--metric",
        choices=tuple(METRICS),
        help="what is compared, after the last epoch; class_mean: the mean of the classes' accuracies, of videos",
    )
    axis: str | None = option(
        None, name="axis", help="what the names of the cases measure, if they are numbers: the picture is drawn over it"
    )
    jobs: int | None = option(
        None, "--jobs", rule=PROCESSES, help="runs side by side, each in one thread", default_words="one for each core"
    )
    save_dir: Path = option(None, "--save-dir", required=True, help="folder of the runs and of the results")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cases:
            raise UsageError("an ablation needs at least one case with its variants")
        names = {*next(iter(self.cases.values()))}
        for case, variants in self.cases.items():
            _check_name("case", case)
            if {*variants} != names:
                odd = min(names ^ {*variants})
                raise UsageError(f"variant {odd!r} is not in all cases: give every case the same variants")
            for variant, training in variants.items():
                _check_name("variant", variant)
                _check_run(f"{case}, {variant}", training)
        self._check_variants(names)
        if self.axis and not all(map(_is_number, self.cases)):
            odd = next(case for case in self.cases if not _is_number(case))
            raise UsageError(
                f"case {odd!r} is no number, and axis is {self.axis!r}: name cases by numbers, or omit axis"
            )

    def _check_variants(self, names: set[str]) -> None:
        if self.baseline not in names:
            raise UsageError(
                f"baseline is {self.baseline!r}; it must be one of the variants {', '.join(sorted(names))}"
            )
        for variant, seeds in self.fewer.items():
            if variant not in names:
                raise UsageError(f"seeds are given for {variant!r}; the variants are {', '.join(sorted(names))}")
            if not SEEDS.holds(seeds):
                raise UsageError(f"seeds of {variant} are {seeds!r}; they must be {SEEDS.words}")
        if self.seeds_of(self.baseline) < self.seeds:
            raise UsageError(f"the baseline {self.baseline} has fewer seeds than others: each is compared with its own")

    def seeds_of(self, variant: str) -> int:
        """Number of runs of a variant in each case."""
        return min(self.seeds, self.fewer.get(variant, self.seeds))


def _check_name(kind: str, name: typing.Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{kind} {name!r} cannot name a folder: use letters, digits, and . , + - _ inside")


def _check_run(name: str, training: typing.Any) -> None:
    if not isinstance(training, Training):
        raise UsageError(f"{name} is {training!r}; it must be settings.Training(…)")
    if training.save_dir or training.seed or training.run.resume:
        raise UsageError(f"{name}: an ablation chooses save_dir, seed and resume of its runs: omit them")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
