"""The table of limits says what the code holds to."""

from doc_blocks import ROOT

from klausel.core.analysis.budget import MOST_STEPS
from klausel.core.conditions.parser import DEEPEST_NESTING, LONGEST_EXPRESSION, MOST_COMPARISONS
from klausel.core.loading.test_files import MOST_QUESTIONS
from klausel.core.policy.holding import LONGEST_GROUP_CHAIN
from klausel.core.policy.roles import LONGEST_CHAIN
from klausel.core.terms.identifiers import DOMAIN_CHARACTERS, ROLE_CHARACTERS, TYPE_CHARACTERS
from klausel.core.terms.problem import MOST_SHOWN
from klausel.core.text.yaml_nodes import DEEPEST_NESTING as DEEPEST_YAML
from klausel.storage.file_rules import LARGEST_FILE


def test_the_table_of_limits_is_right() -> None:
    text = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    section = text[text.index("## Limits") : text.index("## Problems")]
    told = [line.split("|")[2].strip() for line in section.splitlines() if line.startswith("|")][2:]
    assert told == [
        f"{LARGEST_FILE // 2**20} MiB",
        f"{DEEPEST_YAML} levels",
        f"{ROLE_CHARACTERS} characters",
        f"{TYPE_CHARACTERS} characters",
        f"{DOMAIN_CHARACTERS} characters",
        f"{LONGEST_EXPRESSION:,} characters",
        f"{DEEPEST_NESTING} levels",
        f"{MOST_COMPARISONS:,}",
        f"{LONGEST_CHAIN}",
        f"{LONGEST_GROUP_CHAIN} deep",
        f"{MOST_QUESTIONS:,}",
        f"{MOST_SHOWN:,}",
        f"{MOST_STEPS:,}",
    ]
