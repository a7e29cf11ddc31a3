"""A Prometheus that scrapes a service of two workers finds data for the dashboard, and its rules fire when something breaks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import yaml
from command_line import INSTALLED, ROOT
from ports import free_port, wait_until
from running_service import QUESTION, running
from silent_servers import Proxy
from sqlalchemy.engine import make_url
from test_monitoring import DASHBOARD, MONITORING

SECONDS = 90.0
"""Of a busy machine; a quiet one needs a tenth."""
BROKEN = {
    "KlauselDatabaseSilent",
    "KlauselDecisionsFail",
    "KlauselServerErrors",
    "KlauselChangesNotHeard",
    "KlauselPoliciesRefused",
    "KlauselProvisioningRefused",
}
MAPPING = "subject_from: userName\ngroups:\n  Acme people: {acme: user}\n"


def call(url: str, key: str = "", body: object = None) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    sent = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    with urllib.request.urlopen(sent, timeout=20) as answer:
        return json.loads(answer.read())


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """The address of one with the shipped rules, which wait for nothing and look back for seconds."""
    rules = re.sub(r"\n +for: .*", "", (MONITORING / "alerts.yaml").read_text()).replace("[5m]", "[8s]")
    (folder / "alerts.yaml").write_text(rules)
    scraped = {"job_name": "klausel", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": every, "rule_files": ["alerts.yaml"], "scrape_configs": [scraped]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    port = free_port()
    command = ["prometheus", "--config.file=prometheus.yaml", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={folder}/data"], cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(20)


def firing(address: str) -> set[str]:
    with suppress(OSError):
        return {one["labels"]["alertname"] for one in call(f"{address}/alerts")["data"]["alerts"]}
    return set()


def unanswered(address: str) -> list[str]:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    queries = [query.replace("$__rate_interval", "8s").replace("$instance", ".*") for query in queries]
    with suppress(OSError):
        asked = {query: call(f"{address}/query?{urlencode({'query': query})}")["data"]["result"] for query in queries}
        return [query for query, found in asked.items() if not found]
    return queries


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (apt-get install prometheus)")
def test_each_query_is_answered_with_data_and_rules_fire_when_something_breaks(
    tmp_path: Path, postgresql_schema_url: str
) -> None:
    with psycopg.connect(make_url(postgresql_schema_url).set(drivername="postgresql").render_as_string(False)) as database:
        keys = {}
        for scope in ("check", "provision"):
            command = [INSTALLED, "keys", "new", scope, "--scope", scope, "--database", postgresql_schema_url]
            keys[scope] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
        database.execute("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:ann', 'gone', 'acme')")
    at = make_url(postgresql_schema_url)
    proxy = Proxy(at.host or "127.0.0.1", at.port or 5432)
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    (policies / "provisioning.yaml").write_text(MAPPING)
    options = ["--workers", "2", "--authentication", "keys", "--orphaned-assignments", "warn", "--settle-seconds", "0.2"]
    options += ["--decision-log", str(tmp_path / "decisions.jsonl"), "--policies", str(policies)]
    options += ["--database", at.set(host="127.0.0.1", port=proxy.port).render_as_string(False)]
    with ExitStack() as stack:
        stack.enter_context(closing(proxy))
        service = stack.enter_context(ExitStack())
        _, port = service.enter_context(running(tmp_path, *options))
        address = stack.enter_context(prometheus(tmp_path, port))
        here = f"http://127.0.0.1:{port}"

        def asking(holds: Callable[[], bool]) -> Callable[[], bool]:
            def asked() -> bool:
                with suppress(OSError):
                    call(f"{here}/access/v1/evaluation", keys["check"], QUESTION)
                return holds()

            return asked

        call(f"{here}/scim/v2/Users", keys["provision"])
        wait_until(asking(lambda: not unanswered(address)), "queries of the dashboard find nothing", SECONDS)
        # How fast it is depends on the machine.
        assert firing(address) - {"KlauselSlow"} == {"KlauselOrphanedAssignments"}
        with pytest.raises(urllib.error.HTTPError):
            call(f"{here}/scim/v2/Users", keys["check"])
        (policies / "roles.yaml").write_text("nothing")
        proxy.hang_up()
        wait_until(asking(lambda: firing(address) >= BROKEN), "rules do not fire", SECONDS)
        service.close()
        wait_until(lambda: "KlauselDown" in firing(address), "nobody hears that the service is down", SECONDS)
