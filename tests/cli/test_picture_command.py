"""`klausel picture`."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from command_line import ROOT, Change, Klausel

KEPT = {"roles.svg": ("picture",), "quizzes.svg": ("picture", "quizzes")}


@pytest.mark.parametrize("name", KEPT)
def test_the_pictures_of_the_docs_are_up_to_date(klausel: Klausel, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(ROOT)
    command = KEPT[name]
    kept = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
    assert klausel(*command).stdout == kept, f"write it again: klausel {' '.join(command)} > docs/pictures/{name}"


def test_the_picture_in_the_readme_of_the_policies_is_up_to_date(klausel: Klausel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    drawn = klausel("picture", "--format", "mermaid").stdout
    text = (ROOT / "policies" / "README.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{drawn}```\n" in text, "put it there again: klausel picture --format mermaid"


def test_what_changed_since_a_commit_is_drawn(klausel: Klausel, change: Change) -> None:
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
    for arguments in (["init", "-q"], ["add", "policies", "model.conf"], ["commit", "-qm", "Policies"]):
        subprocess.run([*git, *arguments], check=True)
    change("policies/features/pins.yaml", "allow: user", "allow: admin")
    done = klausel("picture", "--since", "HEAD")
    assert done.exit_code == 0, done.output
    text = "".join(ElementTree.fromstring(done.stdout).itertext())
    assert "before: always" in text and "after: never" in text
    assert klausel("picture", "pins", "--since", "HEAD").exit_code == 2


def test_a_feature_that_is_not_there_is_named_with_those_that_are(klausel: Klausel) -> None:
    done = klausel("picture", "quizes")
    assert done.exit_code == 1
    assert 'did you mean "quizzes"' in done.output
