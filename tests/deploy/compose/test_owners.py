"""Whose files are whose where nothing is configured: ``pytest -m docker``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.compose.installation import OWNER, Installation, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SERVICES = 1000  # who services run as where no UID is set
SETUP = "deploy/setup.sh"


@pytest.fixture
def unset(installation: Installation) -> Iterator[Installation]:
    """An installation whose caller has set neither UID nor GID."""
    yield installation.with_(UID="", GID="")
    installation.down()
    os.chown(installation.folder / SETUP, 0, 0)
    shutil.rmtree(installation.out, ignore_errors=True)


def written(installation: Installation) -> tuple[int, str]:
    """Whose a file in ``./out`` is that the writer makes, and what was said before."""
    done = installation.compose("run", "--rm", "-T", "setup")
    installation.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "touch", "writer", "/out/video.mp4"
    )
    return (installation.out / "video.mp4").stat().st_uid, done.stderr


@pytest.mark.parametrize("made_by", ["caller", "engine"])
def test_another_user_than_the_services_is_told_and_keeps_the_folder(
    unset: Installation, made_by: str
) -> None:
    os.chown(unset.folder / SETUP, *OWNER)
    if made_by == "caller":
        unset.out.mkdir()
        os.chown(unset.out, *OWNER)
    owner, said = written(unset)
    assert owner == SERVICES
    assert (unset.out.stat().st_uid, unset.out.stat().st_gid) == OWNER  # who may remove it
    assert f"its files will be those of {SERVICES}:{SERVICES}" in said
    assert f"put UID={OWNER[0]} and GID={OWNER[1]} into .env" in said


@pytest.mark.parametrize("checkout", [0, SERVICES])
def test_the_services_own_user_and_root_are_told_nothing(
    unset: Installation, checkout: int
) -> None:
    os.chown(unset.folder / SETUP, checkout, checkout)
    owner, said = written(unset)
    assert owner == unset.out.stat().st_uid == SERVICES
    assert "put UID" not in said


def test_passwords_are_replaced_and_never_cut_short(unset: Installation) -> None:
    """A service that connects anew while setup runs reads one that is whole."""
    unset.compose("run", "--rm", "-T", "setup")
    folder = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"{unset.project}_secrets"))
    with (folder / "ocr" / "redis_ocr").open() as before:
        unset.compose("run", "--rm", "-T", "setup")
        assert os.fstat(before.fileno()).st_nlink == 0  # another file has its name
        password = before.read()
    after = folder / "ocr" / "redis_ocr"
    assert after.read_text() == password
    assert len(password) > 24
    assert (after.stat().st_uid, after.stat().st_mode & 0o777) == (SERVICES, 0o400)
    assert os.listdir(folder / "ocr") == ["redis_ocr"]


def test_shared_memory_serves_another_user_than_it_was_made_for(unset: Installation) -> None:
    here = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "capture", "-ec")
    there = unset.with_(UID=str(OWNER[0]), GID=str(OWNER[1]))
    there.compose("run", "--rm", "-T", "setup")
    # the first one stays, so that the memory does, too
    first = there.compose(
        "run", "-d", "--no-deps", "--entrypoint", "sh", "capture", "-c",
        "umask 077; echo old >/run/pixels/left; exec sleep 600",
    ).stdout.strip()  # fmt: skip
    there.wait_for(
        "file in shared memory",
        lambda: not there.compose(*here, "cat /run/pixels/left", check=False).returncode,
    )
    unset.compose("run", "--rm", "-T", "setup")
    assert unset.compose(*here, "touch /run/pixels/new; cat /run/pixels/left").stdout == "old\n"
    docker("rm", "-f", first)
