from __future__ import annotations

import os
import pwd
from pathlib import Path

import platformdirs
import pytest

from data.errors import WrongUsage
from data.settings import Settings
from data.store.database import parse_url


def test_without_variables_everything_lies_in_the_users_data_folder() -> None:
    settings = Settings.from_environment({})
    home = Path(platformdirs.user_data_dir("gemina"))
    assert settings.home == home
    assert settings.store_url == f"sqlite:///{home}/store.db"
    assert settings.models_folder == home / "models"
    assert settings.key_file.parent == home


def test_variables_move_each_place(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {"TWIN_HOME": str(tmp_path / "home"), "TWIN_MODELS": str(tmp_path / "m"), "TWIN_STORE": "postgresql://h/db"}
    )
    assert settings.home == tmp_path / "home"
    assert settings.models_folder == tmp_path / "m"
    assert settings.store_url == "postgresql://h/db"
    assert not settings.home.exists(), "reading the settings creates nothing"


def test_the_option_goes_before_the_variable() -> None:
    settings = Settings.from_environment({"TWIN_STORE": "postgresql://h/a"}, store="postgresql://h/b")
    assert settings.store_url == "postgresql://h/b"


def test_empty_variables_count_as_not_set() -> None:
    empty = Settings.from_environment({"TWIN_HOME": "", "TWIN_STORE": " ", "TWIN_MODELS": ""})
    assert empty == Settings.from_environment({})


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_environment({"TWIN_HOME": "~/twin"}).home == tmp_path / "twin"


def test_a_relative_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"TWIN_HOME": "here"}).home == tmp_path / "here"


@pytest.mark.parametrize("folder", ["with space", "100%41", "q?x=1", "a#b"])
def test_the_default_store_is_in_the_home_whatever_its_name(tmp_path: Path, folder: str) -> None:
    settings = Settings.from_environment({"TWIN_HOME": str(tmp_path / folder)})
    assert parse_url(settings.store_url).database == str(tmp_path / folder / "store.db")


def test_an_unknown_users_home_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"TWIN_HOME=~nobody_of_that_name/x.*full path"):
        Settings.from_environment({"TWIN_HOME": "~nobody_of_that_name/x"})


@pytest.mark.parametrize("variable", ["TWIN_HOME", "TWIN_MODELS"])
def test_a_file_is_no_folder(tmp_path: Path, variable: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(WrongUsage, match=f"{variable}=.*is a file"):
        Settings.from_environment({variable: str(file)})


@pytest.mark.parametrize("password", ["secret", "se:cr/et", "se@cret"])
def test_no_form_of_the_settings_shows_the_password(password: str) -> None:
    settings = Settings.from_environment({"TWIN_STORE": f"postgresql://me:{password}@host/db"})
    for shown in (settings.redacted_store_url, repr(settings), str(settings)):
        assert password not in shown
        assert "cret" not in shown
    assert settings.redacted_store_url == "postgresql://me:***@host/db"


def test_the_actor_is_the_account_and_not_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    assert Settings.from_environment({}).actor == pwd.getpwuid(os.getuid()).pw_name


def test_an_account_without_a_name_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert Settings.from_environment({}).actor == "uid-987654321"
