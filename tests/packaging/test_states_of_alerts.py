"""Each rule for Prometheus is quiet, pending, firing and over when it should be, and quiet where nothing is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from test_monitoring import MONITORING, RULES


class Story(NamedTuple):
    """What is told, minute by minute in the notation of promtool, and minutes at which the rule is in each state.

    No minute of `pending` where a rule waits for nothing.
    """

    series: dict[str, str]
    pending: int | None
    firing: int
    over: int


def gauge(series: str, good: str = "0", bad: str = "1") -> dict[str, str]:
    """Ten minutes good, forty bad, and good again."""
    return {series: f"{good}x9 {bad}x39 {good}x60"}


COUNTS_UP = "0x9 10+10x39 400x60"
STORIES = {
    "KlauselDown": Story(gauge('up{job="klausel", instance="a"}', "1", "0"), 11, 12, 50),
    "KlauselNotScraped": Story({'up{job="klausel", instance="a"}': "1x9 stale _x39 1x60"}, 12, 20, 50),
    "KlauselDatabaseSilent": Story(gauge('klausel_database_silent{instance="a", process="1"}'), 10, 11, 50),
    "KlauselDecisionsFail": Story(
        {'klausel_decisions_failed_total{instance="a", reason="database"}': COUNTS_UP}, 11, 13, 56
    ),
    "KlauselPoliciesTooOld": Story(gauge('klausel_policy_too_old{instance="a", process="1"}'), None, 10, 50),
    "KlauselPoliciesRefused": Story(gauge('klausel_policy_refused{instance="a", process="1"}'), 14, 15, 50),
    "KlauselPoliciesDiffer": Story(
        {
            'klausel_policy_info{instance="a", process="1", meaning_digest="x"}': "1x110",
            'klausel_policy_info{instance="b", process="1", meaning_digest="x"}': "1x9 stale _x39 1x60",
            'klausel_policy_info{instance="b", process="1", meaning_digest="y"}': "_x10 1x39 stale",
        },
        24,
        26,
        50,
    ),
    "KlauselChangesNotHeard": Story(gauge('klausel_changes_trusted{instance="a", process="1"}', "1", "0"), 14, 15, 50),
    "KlauselDecisionLogDrops": Story(
        {'klausel_decision_log_records_total{instance="a", result="dropped"}': COUNTS_UP}, 10, 12, 56
    ),
    "KlauselDecisionLogWaits": Story(
        {
            'klausel_decision_log_waiting{instance="a", process="1"}': "1x9 500x39 1x60",
            'klausel_decisions_total{instance="a", decision="allow"}': "0+60x110",
        },
        14,
        15,
        50,
    ),
    "KlauselServerErrors": Story(
        {
            'klausel_requests_total{instance="a", route="/v1/policy", status="200"}': "0+600x110",
            'klausel_requests_total{instance="a", route="/v1/policy", status="500"}': COUNTS_UP,
        },
        13,
        18,
        56,
    ),
    "KlauselSlow": Story(
        {
            'klausel_request_duration_seconds_bucket{instance="a", route="/access/v1/evaluation", le="0.1"}': (
                "0+100x9 1000+90x39 4600+100x60"
            ),
            'klausel_request_duration_seconds_bucket{instance="a", route="/access/v1/evaluation", le="0.25"}': "0+100x110",
            'klausel_request_duration_seconds_bucket{instance="a", route="/access/v1/evaluation", le="+Inf"}': "0+100x110",
        },
        15,
        22,
        56,
    ),
    "KlauselCertificateEnds": Story(
        gauge('klausel_tls_certificate_expiration_timestamp_seconds{instance="a", process="1"}', "9e9", "1e6"), None, 10, 50
    ),
    "KlauselOrphanedAssignments": Story(gauge('klausel_orphaned_assignments{instance="a", process="1"}'), 20, 25, 50),
    "KlauselProvisioningRefused": Story(
        {'klausel_provisioning_requests_total{instance="a", outcome="failed"}': "0x9 1x120"}, None, 11, 75
    ),
    "KlauselProvisioningSilent": Story(
        {'klausel_provisioning_last_success_timestamp_seconds{instance="a", process="1"}': "0x1470 88200x40"},
        1442,
        1450,
        1475,
    ),
}


def test_each_rule_has_a_story() -> None:
    assert list(STORIES) == [rule["alert"] for rule in RULES]
    waits = {rule["alert"] for rule in RULES if "for" in rule}
    assert {name for name, story in STORIES.items() if story.pending is not None} == waits


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_each_rule_is_pending_firing_and_over_when_it_should_be(tmp_path: Path) -> None:
    tests = []
    for name, story in STORIES.items():
        states = {9: None, story.firing: "firing", story.over: None}
        if story.pending is not None:
            states[story.pending] = "pending"
        series = [{"series": one, "values": values} for one, values in story.series.items()]
        tests.append({"name": name, "interval": "1m", "input_series": series, "promql_expr_test": states_of(name, states)})
    # Nothing is told at all: a service without TLS, providers, PostgreSQL or a log has no such metrics.
    told = [{"series": 'up{job="klausel", instance="a"}', "values": "1x60"}]
    quiet = [one for name in STORIES for one in states_of(name, {30: None, 60: None})]
    tests.append({"name": "nothing", "interval": "1m", "input_series": told, "promql_expr_test": quiet})
    cases = {"rule_files": [str(MONITORING / "alerts.yaml")], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "states.yaml").write_text(yaml.safe_dump(cases))
    command = ["promtool", "test", "rules", str(tmp_path / "states.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def states_of(name: str, states: dict[int, str | None]) -> list[dict[str, Any]]:
    expression = f'count by (alertstate) (ALERTS{{alertname="{name}"}})'
    return [
        {
            "expr": expression,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{alertstate="{state}"}}', "value": 1}] if state else [],
        }
        for minute, state in states.items()
    ]
