"""An installed app with two tools that send something to the site of the harness, where it is counted."""

import os
import urllib.request

from django.apps import AppConfig

from runner.bridge.tools import HostTool, register

SITE = "DSPEX_FAULTS_SITE"


def send(to: str) -> str:
    """Send the answer to somebody."""
    request = urllib.request.Request(f"{os.environ[SITE]}/send", data=to.encode())
    with urllib.request.urlopen(request) as answer:
        answer.read()
    return f"sent to {to}"


class ToolsConfig(AppConfig):
    name = "tests.faults"
    label = "faults"

    def ready(self) -> None:
        register(HostTool.of(send, side_effects=True))
        register(HostTool.of(send, name="send_if_let", side_effects=True, approval=True))
