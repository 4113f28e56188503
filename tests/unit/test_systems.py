"""Which systems and Pythons were tried is said where one asks."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from lamdagent.ui.cli import main
from lamdagent.ui.cli.doctor import Check, checks


def found(name: str, place: Path) -> Check:
    return next(check for check in checks(place) if check.check == name)


@pytest.mark.parametrize(("system", "status"), [("Linux", "ok"), ("Darwin", "warn")])
def test_doctor_says_that_only_linux_was_tried(
    system: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    check = found("system", tmp_path)
    assert (check.status, check.found) == (status, f"{system} {platform.machine()}; tried on Linux only")


@pytest.mark.parametrize(("minor", "status"), [(10, "FAIL"), (11, "ok"), (13, "ok"), (14, "warn")])
def test_doctor_says_which_pythons_were_tried(
    minor: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, minor, 1, "final", 0))
    check = found("python", tmp_path)
    assert check.status == status
    assert check.found.endswith("tried on 3.11 to 3.13")


def test_windows_is_told_why_it_is_shut_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "fcntl" in capsys.readouterr().err
