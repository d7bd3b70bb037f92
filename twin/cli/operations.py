"""Commands that run the installation: init, serve, the audit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.error import URLError

import typer

from data.errors import Refused
from twin.cli.terminal import JsonOption, StoreOption, answer, progress_bar, remark, say, workspace
from twin.workspace import DEMONSTRATION

APP: Final = Path(__file__).resolve().parents[2] / "app.py"
PORTS_TRIED: Final = 50
SECONDS_TO_START: Final = 60.0
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to unasked

audit_program = typer.Typer(help="The audit trail of the store.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add these commands to the program."""
    program.command("init")(init)
    program.command("serve")(serve)
    program.add_typer(audit_program, name="audit")


def init(store: StoreOption = None) -> int:
    """Create the store, the demonstration cohort, its fitted twin and a learnt policy; again, it changes nothing."""
    desk = workspace(store)
    with progress_bar("demonstration") as report:
        created = desk.prepare_demonstration(report)
    version = desk.serving_version(DEMONSTRATION)
    if desk.agent(version) is None and desk.taught(desk.twin(version)) is not None:
        with progress_bar("learnt policy") as report:
            desk.train(version, seeds=1, progress=report)
        created = True
    state = "created" if created else "already there, nothing changed"
    say(f"store {desk.settings.redacted_store_url}: cohort '{DEMONSTRATION}', its twin and its policy: {state}")
    return 0


@audit_program.command("verify")
def verify(store: StoreOption = None, as_json: JsonOption = False) -> int:
    """Check the audit chain; exit 1 names the first bad entry."""
    verdict = workspace(store).store.verify_audit()
    if as_json:
        answer(verdict.as_dict())
    else:
        say(str(verdict))
    return 0 if verdict.intact else 1


def serve(
    port: Annotated[int, typer.Option(help="Port; the next free one when it is taken.", min=1, max=65_535)] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "localhost",
    store: StoreOption = None,
) -> int:
    """Run the dashboard and print its address; prepares the demonstration when there is none."""
    desk = workspace(store)
    remark("gemina: preparing the store and the demonstration (some seconds the first time)")
    with progress_bar("demonstration") as report:
        desk.prepare_demonstration(report)
    chosen = _free_port(address, port)
    settings = desk.settings
    places = {
        "TWIN_HOME": str(settings.home),
        "TWIN_STORE": settings.store_url,
        "TWIN_MODELS": str(settings.models_folder),
    }
    environment = {**os.environ, **places}  # absolute: the dashboard runs in another folder
    with _dashboard(address, chosen, environment) as server:
        _wait_until_it_answers(server, address, chosen)
        say(f"gemina: the dashboard is at http://{address}:{chosen} (stop it with Ctrl-C)")
        sys.stdout.flush()
        return server.wait()


def _free_port(address: str, first: int) -> int:
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise Refused(f"no free port on {address} from {first} on", remedy="name another with --port")


def _dashboard(address: str, port: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += [f"--server.port={port}", f"--server.address={address}", "--logger.level=warning"]
    if address not in LOOPBACK:
        command.append(f"--server.allowedHosts={'*' if address in EVERY_ADDRESS else address}")
    # Streamlit reads .streamlit/config.toml from the folder it is started in.
    server = subprocess.Popen(command, cwd=APP.parent, env=dict(environment), stdout=subprocess.DEVNULL)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    return server


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, port: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Refused(f"the dashboard stopped at once (exit {server.returncode})", remedy="see the lines above")
        try:
            with urllib.request.urlopen(f"http://{address}:{port}/_stcore/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    server.terminate()
    raise Refused(f"the dashboard did not answer within {SECONDS_TO_START:.0f} s", remedy="see the lines above")
