"""Settings: what a command, a recipe or a Python program asks for, as frozen dataclasses.

Nothing here imports mxnet. Defaults, rules and cross-checks of settings are defined here only, as metadata of the
fields. `a2net_gluon.options` builds the command line from them, and ``run.json`` stores the values.
"""

from a2net_gluon.settings.ablation import Ablation
from a2net_gluon.settings.data import (
    Data,
    DigitPairs,
    Digits,
    ImageFolder,
    Kind,
    MovingDigits,
    PackedClips,
    Records,
    Synthetic,
    SyntheticClips,
    Videos,
)
from a2net_gluon.settings.network import Devices, Input, Network
from a2net_gluon.settings.optimization import Loss, Optimization, Schedule, Start
from a2net_gluon.settings.packing import Packing
from a2net_gluon.settings.trained import Attention, Evaluation, Export, Import, Trained
from a2net_gluon.settings.training import Report, Run, Training
from a2net_gluon.settings.views import Views

__all__ = [
    "Ablation",
    "Attention",
    "Data",
    "Devices",
    "DigitPairs",
    "Digits",
    "Evaluation",
    "Export",
    "ImageFolder",
    "Import",
    "Input",
    "Kind",
    "Loss",
    "MovingDigits",
    "Network",
    "Optimization",
    "PackedClips",
    "Packing",
    "Records",
    "Report",
    "Run",
    "Schedule",
    "Start",
    "Synthetic",
    "SyntheticClips",
    "Trained",
    "Training",
    "Videos",
    "Views",
]
