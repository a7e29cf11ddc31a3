"""What stands in deploy/ can be read, keeps its promises, and what it runs starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import INSTALLED, LONGEST_SECONDS, ROOT, run
from running_service import running

from klausel.cli.serve import SECONDS_TO_END
from klausel.settings import Settings, fault_in_environment

DEPLOY = ROOT / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
UNIT = (DEPLOY / "klausel.service").read_text()


def objects(kind: str) -> list[dict[str, Any]]:
    """Everything of one kind in the manifests."""
    found = [one for file in KUBERNETES for one in yaml.safe_load_all(file.read_text())]
    assert all(one["apiVersion"] and one["metadata"]["name"] for one in found)
    return [one for one in found if one["kind"] == kind]


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for one in objects(kind)]


def is_command(arguments: list[str]) -> None:
    """Holds that these are arguments of `klausel` that it takes: their help is asked for, with all of them."""
    assert run(*arguments, "--help").exit_code == 0
    assert not {one for one in arguments if one.startswith("-")} - set(
        re.findall(r"--[\w-]+", run(*arguments, "--help").output)
    )


def test_the_manifests_ask_for_what_is_there() -> None:
    maps = {one["metadata"]["name"]: one["data"] for one in objects("ConfigMap")}
    (settings,) = (file.read_text() for file in KUBERNETES if file.name == "settings.yaml")
    # No secret stands in a file: applied after the command that makes it, it would replace it.
    assert objects("Secret") == []
    secrets = dict(re.findall(r"kubectl create secret generic (\S+) --from-literal=(\w+)=", settings))
    assert set(secrets.values()) == {Path(place).name for place in re.findall(r"@(/run/secrets/\S+)\"", settings)}
    assert {kind: len(objects(kind)) for kind in ("Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")} == {
        "Service": 1,
        "PodDisruptionBudget": 1,
        "HorizontalPodAutoscaler": 1,
    }
    for pod in pods():
        volumes = {one["name"]: one for one in pod["volumes"]}
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert {one["name"] for one in container["volumeMounts"]} <= set(volumes)
        for volume in volumes.values():
            name = volume.get("configMap", {}).get("name")
            for item in volume.get("configMap", {}).get("items", ()):
                assert item["key"] in maps[name]
            assert name is None or name in maps
            assert volume.get("secret", {}).get("secretName") in (None, *secrets)
    (service,) = objects("Service")
    for deployment in objects("Deployment"):
        assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_no_pod_has_rights_or_a_root_that_can_be_written() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            rights = container["securityContext"]
            assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
            assert rights["capabilities"] == {"drop": ["ALL"]}


def test_the_autoscaler_can_count_each_container() -> None:
    (scaler,) = objects("HorizontalPodAutoscaler")
    counted = {one["resource"]["name"] for one in scaler["spec"]["metrics"]}
    for deployment in objects("Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            # Where one says nothing, the whole pod counts for nothing.
            assert counted <= set(container["resources"]["requests"]), container["name"]


def test_what_containers_run_are_commands_and_their_variables_settings() -> None:
    services = COMPOSE["services"]
    variables = set(re.findall(r"\bKLAUSEL_[A-Z_]+(?==)", CONTAINERFILE))
    for name in ("upgrade", "first", "second"):
        is_command(services[name]["command"])
        assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])
        variables |= set(services[name]["environment"])
    for pod in pods():
        (container,) = (one for one in pod["containers"] if one["name"] in ("klausel", "upgrade"))
        is_command(container["args"])
        variables |= {one["name"] for one in container["env"]}
    assert variables
    assert fault_in_environment(variables) is None


@pytest.mark.parametrize(
    "deployment", objects("Deployment"), ids=lambda one: str(len(one["spec"]["template"]["spec"]["containers"]))
)
def test_a_pod_starts_with_its_settings_and_answers_its_probes(deployment: dict[str, Any], tmp_path: Path) -> None:
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    maps = {one["metadata"]["name"]: one["data"] for one in objects("ConfigMap")}
    # As the kubelet mounts it: the files behind a link that is swapped.
    policies = tmp_path / "policies"
    data = policies / "..2026"
    items = [("roles.yaml", "roles.yaml"), ("features.documents.yaml", "features/documents.yaml")]
    for volume in pod["volumes"]:
        listed = volume.get("configMap", {}).get("items")
        items = [(one["key"], one["path"]) for one in listed] if listed else items
    for key, path in items:
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(maps["klausel-policies"][key])
    (policies / "..data").symlink_to("..2026")
    for name in {path.partition("/")[0] for _, path in items}:
        (policies / name).symlink_to(f"..data/{name}")
    (tmp_path / "database_url").write_text(f"sqlite:///{tmp_path}/klausel.db\n")
    settings = maps["klausel-settings"]["klausel.yaml"].replace("/etc/klausel/policies", str(policies))
    settings = settings.replace("/run/secrets/klausel/database_url", str(tmp_path / "database_url")).replace(
        "0.0.0.0", "127.0.0.1"
    )
    (tmp_path / "klausel.yaml").write_text(settings)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    environment["KLAUSEL_CONFIG"] = str(tmp_path / "klausel.yaml")
    given = {one["name"]: one["value"] for one in container["env"]}
    named = ["--policies", str(policies)]
    if "KLAUSEL_POLICIES" in given:
        mirror_policies(pod, data, tmp_path)
        named = ["--policies", given["KLAUSEL_POLICIES"].replace("/var/policies", str(tmp_path / "mirrored"))]
    with running(tmp_path, *named, command=[INSTALLED, *container["args"]], environment=environment) as (_, port):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LONGEST_SECONDS).close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONGEST_SECONDS) as answer:
            assert b"klausel_policy_info" in answer.read()


def mirror_policies(pod: dict[str, Any], policies: Path, folder: Path) -> None:
    """Runs what the pod clones its policies with, from a repository that holds these."""
    upstream = folder / "upstream"
    shutil.copytree(policies, upstream / "policies")
    names = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*names, "commit", "-qm", "All"]):
        subprocess.run(["git", "-C", str(upstream), *command], check=True)
    (folder / "mirrored").mkdir()
    (clone,) = pod["initContainers"]
    (script,) = clone["args"]
    script = script.replace("/var/policies", str(folder / "mirrored"))
    subprocess.run([*clone["command"], script], check=True, env={**os.environ, "POLICIES_ADDRESS": str(upstream)})
    loop = pod["containers"][1]["args"][0]
    assert f"git -C {'/var/policies'}/policies.git fetch --quiet --prune" in loop
    subprocess.run(["git", "-C", str(folder / "mirrored" / "policies.git"), "fetch", "--quiet", "--prune"], check=True)


def test_the_image_is_locked_runs_as_nobody_and_checks_that_it_is_ready() -> None:
    assert "--require-hashes" in CONTAINERFILE
    for stage in ("service", "service-with-git"):
        assert CONTAINERFILE.partition(f" AS {stage}\n")[2].partition("\nFROM ")[0].rstrip().endswith("USER 10001:10001")
    (check,) = re.findall(r"HEALTHCHECK .*?\n  CMD (\[.*\])", CONTAINERFILE)
    compile(json.loads(check)[2], "health check", "exec")
    assert "/readyz" in check
    is_command(json.loads(CONTAINERFILE.partition("\nCMD ")[2].partition("\n")[0]))


def test_whoever_stops_the_service_waits_longer_than_its_workers_may_take() -> None:
    settings = Settings()
    longest = settings.body_seconds + settings.database_write_seconds + SECONDS_TO_END
    waits = [float(seconds) for seconds in re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)]
    waits += [float(COMPOSE["x-replica"]["stop_grace_period"].rstrip("s"))]
    waits += [pod["terminationGracePeriodSeconds"] for pod in pods() if "terminationGracePeriodSeconds" in pod]
    assert len(waits) == 4
    assert min(waits) > longest


def test_the_unit_of_systemd_is_good_and_its_command_one_of_ours(tmp_path: Path) -> None:
    (line,) = re.findall(r"^ExecStart=/opt/klausel/bin/klausel (.*)$", UNIT, re.MULTILINE)
    is_command([one for one in line.split() if not one.startswith("/etc/")][:1])
    assert "--config" in line
    for promise in (
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=\n",
        "StartLimitIntervalSec=0\n",
    ):
        assert promise in UNIT
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "klausel.service"
    unit.write_text(UNIT.replace("/opt/klausel/bin/klausel", INSTALLED))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=LONGEST_SECONDS)
    assert "klausel.service" not in done.stderr, done.stderr
