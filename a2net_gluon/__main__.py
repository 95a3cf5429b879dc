"""``python -m a2net_gluon`` is the ``a2net`` command."""

import sys

from a2net_gluon.cli import main

sys.exit(main())
