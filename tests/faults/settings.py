"""DSPex with an app that has tools, for the kill matrix."""

from dspex_site.settings import *  # noqa: F403
from dspex_site.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.tools.ToolsConfig"]
