"""What compose files say, without an engine: what can be set, and what limits there are."""

from __future__ import annotations

import re
from pathlib import Path

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


def services() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
        "services"
    ]
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
    assert "max-size" in service["logging"]["options"]  # type: ignore[index]
    assert "ports" not in service
    assert "privileged" not in service


def test_a_fleets_processes_are_ended_before_their_container_is() -> None:
    for name in ("capture", "track", "visualize", "writer"):
        service = services()[name]
        grace_s = float(str(service["stop_grace_period"]).removesuffix("s"))
        given: dict[str, str] = service["environment"]  # type: ignore[assignment]
        stop_s = float(given.get("PLATESTREAM_FLEET__STOP_S", Settings().fleet.stop_s))
        assert grace_s - 10 < stop_s < grace_s, name
