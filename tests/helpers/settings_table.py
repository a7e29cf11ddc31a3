"""The table of settings in the manual: `python tests/helpers/settings_table.py` rewrites it from their definition."""

from __future__ import annotations

import re
from pathlib import Path

from klausel.settings import SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_TABLE = re.compile(r"\| option \| environment \| default \| what it does \|\n(\|.*\n)+")
_CONFIG = "| `--config FILE` | `KLAUSEL_CONFIG` | | file of settings, see [below](#where-settings-come-from) |"


def table() -> str:
    """The table as Markdown."""
    head = ["| option | environment | default | what it does |", "|---|---|---|---|", _CONFIG]
    return "\n".join([*head, *map(_row, SETTINGS.values()), ""])


def _row(setting: Setting) -> str:
    about = setting.about
    names = [
        f"`{setting.option}{f' {about.metavar}' if about.metavar else ''}`",
        *([f"`{about.also}`"] if about.also else []),
    ]
    if setting.field == "policies":
        names.append("`DIR`")
    what = about.help.replace("*", r"\\*")
    if about.choices:
        what += f" One of {', '.join(f'`{one}`' for one in about.choices)}."
    what += f" {about.more}" if about.more else ""
    return f"| {', '.join(names)} | `{setting.variable}` | {_default(setting)} | {what} |".replace("|  |", "| |")


def _default(setting: Setting) -> str:
    if setting.about.shown_default:
        return setting.about.shown_default
    if setting.kind == "bool":
        return "off"
    return "none" if setting.is_repeatable else "" if setting.default is None else f"`{setting.default}`"


def written() -> str:
    """The table as the page has it."""
    found = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found, "docs/operations.md has no table of settings"
    return found[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
