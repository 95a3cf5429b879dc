"""Settings: what a command, a recipe or a Python program asks for, as frozen dataclasses.

Nothing here imports mxnet. Every default, every rule and every check of one setting against another stands here, once,
as metadata of the fields. The command line is made of it (`a2net_gluon.options`), and ``run.json`` stores it.
"""

from a2net_gluon.settings.data import Data, Digits, ImageFolder, Records, Synthetic
from a2net_gluon.settings.network import Devices, Input, Network
from a2net_gluon.settings.optimization import Loss, Optimization, Schedule, Start
from a2net_gluon.settings.trained import Attention, Evaluation, Export, Trained
from a2net_gluon.settings.training import Run, Training

__all__ = [
    "Attention",
    "Data",
    "Devices",
    "Digits",
    "Evaluation",
    "Export",
    "ImageFolder",
    "Input",
    "Loss",
    "Network",
    "Optimization",
    "Records",
    "Run",
    "Schedule",
    "Start",
    "Synthetic",
    "Trained",
    "Training",
]
