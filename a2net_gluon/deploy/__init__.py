"""Out of training: export that proves itself, and prediction with what was exported."""

from a2net_gluon.deploy.export import export
from a2net_gluon.deploy.predict import Predictor

__all__ = ["Predictor", "export"]
