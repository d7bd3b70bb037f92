"""Where this installation keeps things: environment variables in, checked paths and a store URL out."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import platformdirs

from data.errors import WrongUsage

APPLICATION: Final = "gemina"
STORE_FILE: Final = "store.db"
KEY_FILE: Final = "pseudonym.key"

_PASSWORD = re.compile(r"(?P<scheme>://)(?P<user>[^:@/]*):.*@")


@dataclass(frozen=True)
class Settings:
    """The places of one installation; all paths are absolute. Nothing is created by reading the settings."""

    home: Path
    """Data folder (TWIN_HOME; default: the user's data folder for gemina)."""
    store_url: str
    """Database of cohorts, models and audit (TWIN_STORE; default: a SQLite file in `home`). May hold a password."""
    models_folder: Path
    """One folder per fitted model (TWIN_MODELS; default: `home`/models)."""
    actor: str
    """Who acts, as the audit names them: the account of the operating system."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, *, store: str | None = None) -> Self:
        """The settings that environment variables ask for; a variable that is empty counts as not set.

        Args:
            environment: variables to read instead of the process's own.
            store: URL of the store that goes before TWIN_STORE (the option ``--store``).

        Raises:
            WrongUsage: a folder is named that cannot be one.
        """
        variables = os.environ if environment is None else environment
        home = _folder("TWIN_HOME", variables.get("TWIN_HOME", ""), Path(platformdirs.user_data_dir(APPLICATION)))
        return cls(
            home=home,
            store_url=(store or variables.get("TWIN_STORE", "")).strip() or _sqlite_url(home / STORE_FILE),
            models_folder=_folder("TWIN_MODELS", variables.get("TWIN_MODELS", ""), home / "models"),
            actor=operating_system_user(),
        )

    @property
    def key_file(self) -> Path:
        """Key of the pseudonyms of this installation; lies beside the store, never in it."""
        return self.home / KEY_FILE

    @property
    def redacted_store_url(self) -> str:
        """The store's URL without its password: the form to show."""
        return _PASSWORD.sub(r"\g<scheme>\g<user>:***@", self.store_url)

    def __repr__(self) -> str:
        return (
            f"Settings(home={str(self.home)!r}, store_url={self.redacted_store_url!r}, "
            f"models_folder={str(self.models_folder)!r}, actor={self.actor!r})"
        )


def operating_system_user() -> str:
    """Account that runs this process; not the variable LOGNAME, which anybody can set."""
    try:
        import pwd
    except ImportError:  # Windows has no account database of this kind
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _folder(variable: str, value: str, default: Path) -> Path:
    try:
        folder = Path(value.strip()).expanduser() if value.strip() else default
    except RuntimeError:
        raise WrongUsage(f"{variable}={value} names the home of an unknown user", remedy="give a full path") from None
    if folder.exists() and not folder.is_dir():
        raise WrongUsage(f"{variable}={value} is a file, a folder was expected", remedy="name a folder")
    return folder.absolute()


def _sqlite_url(path: Path) -> str:
    return "sqlite:///" + quote(str(path), safe="/\\:")
