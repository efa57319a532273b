"""A checkout as a fresh clone has it, and ``docker compose`` in it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

OWNER = 4321, 4322
"""Whose files are asked for: of no user that there is."""


@dataclass(frozen=True)
class Installation:
    """A compose project: a folder with its files, and what its user has put into the environment.

    Nothing is configured but whose files they are, and a name of its own.
    """

    folder: Path
    project: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """Where videos and readings come to lie."""
        return self.folder / "out"

    def with_(self, **environment: str) -> Installation:
        """The same project, configured further."""
        return replace(self, environment=self.environment | environment)

    def compose(
        self, *arguments: str, timeout: float = 300, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``docker compose``; unless told otherwise, it must succeed."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder,
            env={
                **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")},
                "COMPOSE_PROJECT_NAME": self.project,
                "UID": str(OWNER[0]),
                "GID": str(OWNER[1]),
                **self.environment,
            },
            capture_output=True,
            text=True,
            errors="replace",  # redis-cli prints pictures, too
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}{self.logs()}"
        return done

    def up(self, *arguments: str) -> None:
        """Starts services, and waits until they are healthy."""
        self.compose("up", "-d", "--wait", "--wait-timeout", "500", *arguments, timeout=600)

    def down(self) -> None:
        """Takes all of it away, whatever of it there is."""
        self.compose("--profile", "*", "down", "-v", "--remove-orphans", check=False)

    def run(self, service: str, *words: str) -> str:
        """What a container of its own for one command prints."""
        return self.compose("run", "--rm", "-T", service, *words).stdout

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "60", *services, check=False).stdout

    def redis(self, *command: str) -> str:
        """What redis-cli prints inside, as ``monitor`` unless told otherwise."""
        return self.compose("exec", "-T", "redis", "redis-cli", *command).stdout.strip()

    def texts(self, field: str, key: str) -> list[str]:
        """A field of all entries of a stream, oldest first."""
        return _values(field, self._entries(key))

    def accepted(self, camera: str = "gate-1") -> set[str]:
        """The plates that a camera's tracker is sure of."""
        entries = self._entries(f"passages:{{{camera}}}")
        texts, sure = _values("text", entries), _values("accepted", entries)
        return {text for text, yes in zip(texts, sure, strict=True) if yes == "1"}

    def _entries(self, key: str) -> list[str]:
        return self.redis("--raw", "XRANGE", key, "-", "+").split("\n")

    def read(self, camera: str = "gate-1") -> set[int]:
        """The frames whose readings there are."""
        return {int(text) for text in self.texts("frame_id", f"readings:{{{camera}}}")}

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-a", "-q", service).stdout.split()

    def inspected(self, container: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(docker("inspect", container))[0]
        return facts

    def health(self, service: str) -> str:
        """What the engine says of a service's only container."""
        (container,) = self.containers(service)
        return str(self.inspected(container)["State"]["Health"]["Status"])

    def restarts(self, service: str) -> int:
        """How often the engine has started a service's only container again."""
        (container,) = self.containers(service)
        return int(self.inspected(container)["RestartCount"])

    def lines(self, camera: str) -> list[list[dict[str, Any]]]:
        """The readings of a camera's recordings, the oldest first."""
        files = self.out.glob(f"{camera}-*.readings.jsonl")
        return [
            [json.loads(x) for x in f.read_text().splitlines()]
            for f in sorted(files, key=lambda path: path.stat().st_mtime)
        ]

    def wait_for(self, what: str, true: Callable[[], object], seconds: float = 500) -> None:
        """Waits until something is true; shows the logs if it never is."""
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, f"no {what} after {seconds} s: {self.logs()}"
            time.sleep(0.5)

    def wait_for_recordings(self, number: int, camera: str = "gate-1") -> None:
        """Waits until so many recordings of a camera are written to their end."""

        def all_done() -> bool:
            files = list(self.out.glob(f"{camera}-*.readings.jsonl"))
            state = self.redis("HGET", f"recording:{{{camera}}}", "state")
            return len(files) == number and state == "finished"

        self.wait_for(f"{number} finished recordings", all_done)


def _values(field: str, words: list[str]) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == field]


def docker(*arguments: str) -> str:
    """What ``docker`` prints; it must succeed."""
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


def files(*names: str) -> str:
    """What ``COMPOSE_FILE`` is for an overlay, or several."""
    return ":".join(("docker-compose.yml", *names))
