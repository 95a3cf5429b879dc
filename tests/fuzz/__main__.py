"""Run mutated cases: ``python -m tests.fuzz --seed N --cases M [--only KIND]``; ``--case K`` repeats a single one."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import shlex
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.fuzz.judge import judge
from tests.fuzz.kinds import KINDS
from tests.fuzz.material import make_material
from tests.fuzz.zygote import Zygote
from tests.helpers.processes import ROOT

__all__ = ["Fuzzer"]

_POISONS = (0x55, 0xAA)
_REPORTS = ROOT / "runs" / "fuzz"


class Fuzzer:
    """Runs cases in two processes with other values in their memory."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
            self._zygotes = [stack.enter_context(contextlib.closing(Zygote(poison))) for poison in _POISONS]
            self._threads = stack.enter_context(ThreadPoolExecutor(len(_POISONS)))
            self._material = make_material(self._zygotes[0], self.folder / "material")
            self._stack = stack.pop_all()

    def close(self):
        """End its processes and remove its files."""
        self._stack.close()

    def case(self, kind, seed, number):
        """Make a case, the same for the same arguments."""
        return KINDS[kind](np.random.default_rng([seed, list(KINDS).index(kind), number]), self._material)

    def run(self, case):
        """Run a case; returns the findings and the outcomes."""
        zygotes = self._zygotes if case.twice else self._zygotes[:1]
        folders = [self.folder / str(number) for number in range(len(zygotes))]
        outcomes = list(self._threads.map(lambda zygote, folder: zygote.run(case, folder), zygotes, folders))
        return judge(case, outcomes), outcomes


def _report(case, findings, outcomes, name, repeat):
    """Keep a finding: its files, what was said, and the command that repeats it."""
    folder = _REPORTS / name
    shutil.rmtree(folder, ignore_errors=True)
    case.write(folder / "files")
    (folder / "finding.txt").write_text(
        "\n".join([*findings, repeat, shlex.join(case.words), *(f"{one.output}{one.errors}" for one in outcomes)]),
        encoding="utf-8",
        errors="backslashreplace",
    )


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=50, help="of each kind; default: 50")
    parser.add_argument("--only", choices=KINDS, help="a single kind")
    parser.add_argument("--case", type=int, help="the number of a single case")
    args = parser.parse_args()
    numbers = range(args.cases) if args.case is None else [args.case]
    total = 0
    with contextlib.closing(Fuzzer()) as fuzzer:
        for kind in [args.only] if args.only else KINDS:
            begin, found = time.monotonic(), 0
            for number in numbers:
                case = fuzzer.case(kind, args.seed, number)
                findings, outcomes = fuzzer.run(case)
                if findings:
                    found += 1
                    repeat = f"python -m tests.fuzz --only {kind} --seed {args.seed} --case {number}"
                    _report(case, findings, outcomes, f"{kind}-{args.seed}-{number}", repeat)
                    print(f"  {repeat}: {'; '.join(findings)}".encode("unicode_escape").decode(), flush=True)
            seconds = time.monotonic() - begin
            print(f"{kind:<12} {len(numbers)} cases, {found} findings, {seconds:.0f} s", flush=True)
            total += found
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
