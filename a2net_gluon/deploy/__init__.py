"""Deployment: verified export of a network, and prediction with the exported files."""

from a2net_gluon.deploy.exporting import export_network
from a2net_gluon.deploy.forms import FORMS, load_form, load_module
from a2net_gluon.deploy.predict import Predictor
from a2net_gluon.deploy.proof import Proof

__all__ = ["FORMS", "Predictor", "Proof", "export_network", "load_form", "load_module"]
