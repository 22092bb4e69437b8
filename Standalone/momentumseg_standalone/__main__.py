"""``python -m momentumseg_standalone``."""

import sys

from momentumseg_standalone.app_main import main

sys.exit(main())
