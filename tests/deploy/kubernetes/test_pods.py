"""What pods may do and reach, and how many there are of each."""

from __future__ import annotations

import re

from platestream.settings import Settings
from tests.deploy.kubernetes.manifests import (
    DEPLOY,
    SERVICES,
    Document,
    allows,
    container,
    labels_of,
    only,
    pod,
    selects,
    workloads,
)


def test_services_reach_redis_and_nothing_else(documents: list[Document]) -> None:
    pods = {name: labels_of(workload) for name, workload in workloads(documents).items()}
    open_ways = {
        (source, target, port["name"])
        for source in pods
        for target in pods
        for port in container(workloads(documents)[target])["ports"]
        if source != target and allows(documents, pods[source], pods[target], port["name"])
    }
    assert open_ways == {(service, "redis", "redis") for service in SERVICES}
    outside: dict[str, set[tuple[str, int]]] = {name: set() for name in pods}
    for name, labels in pods.items():
        for d in documents:
            if d["kind"] != "NetworkPolicy" or not selects(d["spec"]["podSelector"], labels):
                continue
            for rule in d["spec"].get("egress", []):
                blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
                outside[name] |= {(block, p["port"]) for block in blocks for p in rule["ports"]}
    names = {("169.254.20.10/32", 53)}  # a node's cache of the name service
    cameras = outside.pop("capture")
    assert {block for block, _ in cameras - names} == {"192.0.2.0/24"}
    assert all(ways == names for ways in outside.values())


def test_a_group_asks_for_what_sizing_says_of_four_cameras(documents: list[Document]) -> None:
    page = (DEPLOY.parent / "docs" / "sizing.md").read_text()
    row = next(x for x in page.splitlines() if x.startswith("| 1 × 1280×720, 25 fps |"))
    of_frame = dict(
        zip(("capture", "visualize", "track", "writer"), row.split("|")[3:7], strict=True)
    )
    for name, ms in of_frame.items():
        asked = container(workloads(documents)[name])["resources"]["requests"]["cpu"]
        cores_m = 4 * 25 * float(ms)
        assert cores_m < int(asked.removesuffix("m")) < 1.5 * cores_m, name


def test_pods_may_do_nothing_that_they_need_not(documents: list[Document]) -> None:
    (namespace,) = [d for d in documents if d["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(documents).values():
        spec, one = pod(workload), container(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["terminationGracePeriodSeconds"] >= 30
        assert Settings().fleet.stop_s < spec["terminationGracePeriodSeconds"]
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(one["resources"]["requests"])
        assert "memory" in one["resources"]["limits"]
        for amounts in one["resources"].values():  # the schemas take any text
            assert all(re.fullmatch(r"\d+(m|Mi|Gi)?", str(a)) for a in amounts.values()), amounts
        assert {"livenessProbe", "readinessProbe"} <= set(one)


def test_no_two_pods_serve_one_camera(documents: list[Document]) -> None:
    for name in SERVICES - {"ocr"}:
        workload = workloads(documents)[name]
        assert workload["spec"]["replicas"] == 1
        if workload["kind"] == "Deployment":
            assert workload["spec"]["strategy"] == {"type": "Recreate"}


def test_disruption_budgets_are_of_pods_that_are_there(documents: list[Document]) -> None:
    budgets = [d for d in documents if d["kind"] == "PodDisruptionBudget"]
    assert {d["metadata"]["name"] for d in budgets} == {"ocr", "redis"}
    for budget in budgets:
        workload = workloads(documents)[budget["metadata"]["name"]]
        assert selects(budget["spec"]["selector"], labels_of(workload))
    # half of them, rounded in favour of those that stay; a drain needs two of them
    assert only(documents, "PodDisruptionBudget", "ocr")["spec"]["minAvailable"] == "50%"
    assert only(documents, "ScaledObject", "ocr")["spec"]["minReplicaCount"] >= 2
