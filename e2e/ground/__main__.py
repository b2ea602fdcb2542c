"""``python -m e2e.ground``: the ground's commands.

``doctor`` also works where the packages that the other commands need are missing, for it is what says so; hence
the commands are imported only when they are called.
"""

import importlib
import sys

from e2e.ground import doctor

if sys.argv[1:2] == ["doctor"]:
    sys.exit(doctor.main())
importlib.import_module("e2e.ground.cli").cli(prog_name="python -m e2e.ground")
