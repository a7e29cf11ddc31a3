"""The rules and the dashboard for monitoring ask for what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from command_line import ROOT

import klausel.api

MONITORING = ROOT / "deploy" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
QUERIES = [rule["expr"] for rule in RULES] + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def told_metrics() -> dict[str, str]:
    """The names of all metrics of the service, and the text of the module that tells them."""
    found: dict[str, str] = {}
    for module in Path(klausel.api.__file__).parent.glob("*metrics.py"):
        text = module.read_text()
        for kind, name in re.findall(r'\b(gauge|counter|\w+MetricFamily)\(\s*"(klausel_\w+)"', text):
            found[f"{name}_total" if kind.lower().startswith("counter") else name] = kind
    return found


def test_the_rules_and_the_dashboard_ask_for_metrics_that_are_told() -> None:
    told = told_metrics()
    assert len(told) >= 20
    for query in QUERIES:
        for name in re.findall(r"klausel_\w+", query):
            assert name in told or name.removesuffix("_bucket") in told, f"{query}\nasks for {name}, which nobody tells"


def test_each_metric_is_told_by_the_docs() -> None:
    docs = (ROOT / "docs" / "http.md").read_text() + (ROOT / "docs" / "operations.md").read_text()
    assert {name for name in told_metrics() if name not in docs} == set()


def test_each_rule_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in page] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_prometheus_reads_each_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            assert "$" not in query, f"{panel['title']} has a variable that nothing sets"
            rules.append({"record": f"dashboard:{len(rules)}", "expr": query})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
