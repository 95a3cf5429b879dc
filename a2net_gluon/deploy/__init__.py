"""Out of training: export that proves itself, and prediction with what was exported."""

from a2net_gluon.deploy.exporting import export
from a2net_gluon.deploy.forms import FORMS, load_form, load_module
from a2net_gluon.deploy.predict import Predictor
from a2net_gluon.deploy.proof import Proof

__all__ = ["FORMS", "Predictor", "Proof", "export", "load_form", "load_module"]
