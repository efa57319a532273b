"""What pods may do and reach, and how many there are of each."""

from __future__ import annotations

import re

from platestream.settings import Settings
from tests.deploy.kubernetes.manifests import (
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
    outside = {
        name
        for name, labels in pods.items()
        for d in documents
        if d["kind"] == "NetworkPolicy" and selects(d["spec"]["podSelector"], labels)
        if any("ipBlock" in peer for rule in d["spec"].get("egress", []) for peer in rule["to"])
    }
    assert outside == {"capture"}


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
