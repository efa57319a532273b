"""What compose files say, without an engine: what can be set, and what limits there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from platestream.settings import Settings

ROOT = Path(__file__).parents[3]
FILES = [
    ROOT / "docker-compose.yml",
    *(ROOT / "deploy").glob("compose*.yml"),
    *(ROOT / "deploy" / "two-hosts").glob("*.yml"),
]
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?([-+?])([^}]*))?\}")


def used() -> dict[str, str]:
    """The variables of compose files, with their defaults; without one, the empty text."""
    found: dict[str, str] = {}
    for path in FILES:
        lines = [x for x in path.read_text().splitlines() if not x.lstrip().startswith("#")]
        for name, sign, value in VARIABLE.findall("\n".join(lines)):
            default = value if sign == "-" else found.get(name, "")
            assert found.get(name) in (None, "", default), f"{name} has two defaults"
            found[name] = default
    return found


def shown() -> tuple[dict[str, str], set[str]]:
    """What .env.example sets, and the names that it has behind a #, as examples."""
    text = (ROOT / ".env.example").read_text()
    examples = {name for name, _ in re.findall(r"^#(\w+)=(.*)$", text, re.M)}
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M)), examples


def test_all_that_can_be_set_is_in_the_example_with_its_default() -> None:
    variables, (values, examples) = used(), shown()
    assert len(variables) > 20
    assert set(values) | examples == set(variables)
    assert values == {name: variables[name] for name in values}
    # the built-in clip, and a folder without a cameras.toml
    assert {name for name in examples if variables[name]} == {"SOURCE", "CAMERAS"}


def test_no_variable_is_without_braces() -> None:
    for path in FILES:
        lines = [x for x in path.read_text().splitlines() if not x.lstrip().startswith("#")]
        assert re.findall(r"(?<!\$)\$\w+", "\n".join(lines)) == []


class Loader(yaml.SafeLoader):
    """Takes !override and !reset for what stands behind them."""


def _behind(loader: Loader, _tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


Loader.add_multi_constructor("!", _behind)


def services(file: str = "docker-compose.yml") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.load((ROOT / file).read_text(), Loader)["services"]
    return found


def speak_to_redis() -> dict[str, dict[str, Any]]:
    """The services that Redis is named to."""
    found = {n: s for n, s in services().items() if "REDIS_URL" in s.get("environment", {})}
    assert len(found) >= 8
    return found


@pytest.mark.parametrize("name", services())
def test_every_container_has_its_limits(name: str) -> None:
    service = services()[name]
    assert service["cpus"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "max-size" in service["logging"]["options"]
    assert "ports" not in service
    assert "privileged" not in service


def test_a_fleets_processes_are_ended_before_their_container_is() -> None:
    for name in ("capture", "track", "visualize", "writer"):
        service = services()[name]
        grace_s = float(str(service["stop_grace_period"]).removesuffix("s"))
        given: dict[str, str] = service["environment"]  # type: ignore[assignment]
        stop_s = float(given.get("PLATESTREAM_FLEET__STOP_S", Settings().fleet.stop_s))
        assert grace_s - 10 < stop_s < grace_s, name


@pytest.mark.parametrize("overlay", ["deploy/compose.tls.yml", "deploy/two-hosts/host-b.yml"])
def test_with_tls_nobody_speaks_in_clear(overlay: str) -> None:
    there = services(overlay)
    elsewhere = {n for n, s in there.items() if s.get("profiles") == ["host-a"]}
    assert elsewhere < set(services())
    for name in set(speak_to_redis()) - elsewhere:
        assert there[name]["environment"]["REDIS_URL"].startswith("rediss://"), name
        authority = Path(there[name]["environment"]["PLATESTREAM_REDIS__CA_FILE"])
        mounted = {
            v["target"] if isinstance(v, dict) else v.split(":")[1] for v in there[name]["volumes"]
        }
        assert {str(authority), str(authority.parent)} & mounted, name


def test_host_b_needs_nothing_that_is_elsewhere() -> None:
    there = services("deploy/two-hosts/host-b.yml")
    text = (ROOT / "deploy/two-hosts/host-b.yml").read_text()
    here = {name for name in speak_to_redis() if there[name].get("profiles") != ["host-a"]}
    assert here == {"ocr", "ocr-gpu", "status", "platestream"}
    assert text.count("depends_on: !reset null") == len(here)


def targets(service: dict[str, Any]) -> dict[str, str]:
    """What a service mounts: from where, by where to."""
    found = {}
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            found[volume["target"]] = str(volume["source"])
        else:
            source, target, *_ = re.sub(r":(?=[^}]*})", "\0", volume).split(":")
            found[target] = source.replace("\0", ":")
    return found


def test_host_b_keeps_the_folders_that_its_commands_read() -> None:
    there, here = services("deploy/two-hosts/host-b.yml"), services()
    for name in ("ocr", "ocr-gpu", "platestream"):
        kept = {t: s for t, s in targets(here[name]).items() if t in ("/data", "/runs", "/cameras")}
        assert kept
        assert kept.items() <= targets(there[name]).items(), name


def test_all_settings_can_be_set() -> None:
    for name, service in speak_to_redis().items():
        assert service["env_file"] == [{"path": "platestream.env", "required": False}], name


@pytest.mark.parametrize("name", ["ocr", "ocr-gpu", "track"])
def test_weights_of_ones_own_can_be_seen(name: str) -> None:
    """By the tracker, too: a recognizer's file has the plate formats."""
    assert "${RUNS:-./runs}:/runs:ro" in services()[name]["volumes"]
    if name != "track":
        there = services("deploy/two-hosts/host-b.yml")
        assert "${RUNS:-./runs}:/runs:ro" in there[name]["volumes"]


@pytest.mark.parametrize("folder", ["data", "runs"])
def test_folders_to_put_files_into_come_with_a_clone(folder: str) -> None:
    """The engine would make them, and they would be root's."""
    assert (ROOT / folder / ".gitkeep").is_file()
    sources = {v for s in services().values() for v in s["volumes"] if isinstance(v, str)}
    assert any(f"./{folder}}}:/{folder}" in source for source in sources)


def test_the_dockerfile_needs_no_frontend_from_a_registry() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert not re.search(r"^#\s*syntax\s*=", text, re.M | re.I)
