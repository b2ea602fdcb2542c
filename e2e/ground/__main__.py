"""temporary."""

import time, sys
from e2e.ground.binaries import Binaries
from e2e.ground.versions import MODULE_OF

b = Binaries()
t0 = time.monotonic()
print(b.ensure(MODULE_OF))
print(b.stage_files(), time.monotonic() - t0)
