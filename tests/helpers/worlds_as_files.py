"""The files of a generated world, folder by folder, as an editor would write them: in many styles, all with one meaning."""

from __future__ import annotations

import json
from random import Random

from worlds import CHOICES, KINDS, Expr, Grant, World

TYPES = {"text": "text", "id": "user id", "number": "number", "boolean": "boolean", "time": "time", "texts": "list of text"}
TYPES |= {"choice": json.dumps(CHOICES), "choices": json.dumps({"list of": CHOICES})}


def files_of(world: World, seed: int) -> list[dict[str, str]]:
    """The texts of each folder by name; the first is a policy set by itself."""
    return _Writer(world, Random(seed)).files()


class _Writer:
    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random

    def files(self) -> list[dict[str, str]]:
        world = self.world
        folders = [0, 1] if any(one.folder for one in world.types.values()) else [0]
        texts: list[dict[str, str]] = []
        for folder in folders:
            found = {"roles.yaml": self.roles(folder)} if self.roles(folder) else {}
            names = sorted({grant.file for grant in world.grants} | {f"{folder}/features/{('one', 'more')[folder]}.yaml"})
            for file in names:
                if file.startswith(str(folder)):
                    found[file[2:]] = (self.csv if file.endswith(".csv") else self.feature)(file)
            texts.append(found)
        texts[0]["conditions.yaml"] = (
            "".join(f"{name}: {self.quoted(tree)}\n" for name, tree in world.named.items()) or "{}\n"
        )
        properties = ""
        if world.declares:
            for root in ("subject", "action", "context"):
                kinds = {name: kind for name, kind in KINDS[root].items() if name != "id"}
                properties += f"{root}: {self.types(kinds)}\n"
        if world.stores:
            properties += "stored: {subjects: user, resources: [doc, task]}\n"
        if properties:
            texts[0]["properties.yaml"] = properties
        return texts

    def types(self, kinds: dict[str, object]) -> str:
        inner = (
            f"{name}: {self.types(kind) if isinstance(kind, dict) else TYPES[str(kind)]}" for name, kind in kinds.items()
        )
        return f"{{{', '.join(inner)}}}"

    def roles(self, folder: int) -> str:
        lines = []
        if folder == 0:
            lines.append("levels:")
            for level in self.world.levels:
                keys = [f"constant: {level.constant}"] if level.constant else []
                keys += [f"named_by: {level.name}"] if level.is_named else []
                keys += [f"identified_by: {level.name}"] if level.is_identified else []
                keys += ["requires_role_above: true"] if level.requires else []
                lines.append(f"  {level.name}: {{{', '.join(keys)}}}")
        roles = [(name, role) for name, role in self.world.roles.items() if role.folder == folder]
        lines += ["roles:"] if roles else ["roles: {}"] if folder == 0 else []
        for name, role in roles:
            keys = [f"level: {role.level}"]
            if any(role.contains.values()):
                inner = (f"{one}: {self.inside(places)}" for one, places in role.contains.items())
                keys.append(f"contains: {{{', '.join(inner)}}}")
            elif role.contains:
                keys.append(f"contains: {self.one_or_list(list(role.contains))}")
            keys += [f"was: {self.one_or_list(role.was)}"] if role.was else []
            lines.append(f"  {name}: {{{', '.join(keys)}}}")
        return "".join(f"{line}\n" for line in lines)

    def inside(self, places: list[str] | None) -> str:
        return "{}" if places is None else f"{{in: {self.one_or_list(places)}}}"

    def one_or_list(self, names: list[str] | str) -> str:
        if isinstance(names, str):
            return json.dumps(names)
        words = [json.dumps(name) if "*" in name or self.random.random() < 0.2 else name for name in names]
        return words[0] if len(words) == 1 and self.random.random() < 0.8 else f"[{', '.join(words)}]"

    def feature(self, file: str) -> str:
        world, lines = self.world, []
        if file in world.heads:
            lines.append(f"in: {self.one_or_list(world.heads[file])}")
        declared = [
            (name, one)
            for name, one in world.types.items()
            if file in ("0/features/one.yaml", "1/features/more.yaml") and one.folder == int(file[0])
        ]
        lines += ["resource_types:"] if declared else []
        for name, one in declared:
            keys = [f"actions: {self.one_or_list(one.actions)}"]
            keys += [f"asked_in: {json.dumps(one.asked_in)}"] if one.asked_in else []
            keys += [f"properties: {self.types(KINDS['resource'])}"] if world.declares else []
            lines.append(f"  {name}: {{{', '.join(keys)}}}")
        grants = [grant for grant in world.grants if grant.file == file]
        lines += ["grants:"] if grants else []
        for grant in grants:
            lines += self.grant(grant)
        return "".join(f"{line}\n" for line in lines)

    def grant(self, grant: Grant) -> list[str]:
        grantees = [
            together[0] if len(together) == 1 else f"{{all: [{', '.join(together)}]}}" for together in grant.grantees
        ]
        written = grantees[0] if len(grantees) == 1 else f"[{', '.join(grantees)}]"
        keys = [f"{grant.effect}: {written}", f"to: {self.one_or_list(grant.actions)}"]
        keys.append(f"resource: {self.one_or_list(grant.types)}")
        keys += [f"when: {self.quoted(grant.when)}"] if grant.when else []
        keys += [f"from: {grant.starts}"] if grant.starts else []
        keys += [f"until: {json.dumps(grant.ends)}"] if grant.ends else []
        keys += [f"in: {self.one_or_list(grant.places)}"] if grant.places else []
        keys += [f"at_level: {grant.at_level}"] if grant.at_level else []
        return [f"  {'-' if at == 0 else ' '} {key}" for at, key in enumerate(keys)]

    def csv(self, file: str) -> str:
        rows = []
        for grant in self.world.grants:
            if grant.file == file:
                (together,) = grant.grantees
                who = together[0] if len(together) == 1 else f"all of {' and '.join(together)}"
                where = (grant.places or ["*"])[0] + (f" at level {grant.at_level}" if grant.at_level else "")
                when = self.text(grant.when) if grant.when else self.random.choice(("", "true"))
                rows.append(["p", who, where, grant.types[0], grant.actions[0], when, grant.effect])
        return "".join(", ".join(self.field(one) for one in row) + "\n" for row in rows) or "# none\n"

    def field(self, text: str) -> str:
        is_plain = not set('",') & set(text) and self.random.random() < 0.7
        return text if is_plain else '"' + text.replace('"', '""') + '"'

    # --- Conditions -------------------------------------------------------------------------------------------------

    def quoted(self, condition: Expr) -> str:
        text = self.text(condition)
        if self.random.random() < 0.4:
            return f"'{text.replace(chr(39), chr(39) * 2)}'"
        return json.dumps(text)

    def text(self, condition: Expr) -> str:
        match condition:
            case ("and" | "or" as word, parts):
                return f" {word} ".join(f"({self.text(part)})" for part in parts)
            case ("not", part):
                return f"not ({self.text(part)})"
            case ("named", name):
                return str(name)
            case ("true", operand):
                return self.operand(operand)
            case ("cmp", sign, left, right):
                return f"{self.operand(left)} {sign} {self.operand(right)}"
            case ("call", "has", operand):
                return f"has {self.operand(operand)}"
            case ("call", "contains" | "overlaps" | "subset of" as word, left, right):
                return f"{self.operand(left)} {word} {self.operand(right)}"
            case ("call", name, left, right):
                return f"{name}({self.operand(left)}, {self.operand(right)})"
        raise AssertionError(condition)

    def operand(self, operand: Expr) -> str:
        match operand:
            case ("lit", value):
                return self.literal(value)
            case ("now",):
                return "context.now"
            case ("attr", root, *path):
                is_odd = any("-" in name for name in path) or self.random.random() < 0.1
                return root + "".join(f'["{name}"]' if is_odd else f".{name}" for name in path)
            case ("implied", inner):
                return self.operand(inner)
            case ("-", left, right):
                return f"{self.operand(left)} - {self.operand(right)}"
            case ("time_of_day" | "weekday" as name, inner, zone):
                return f'{name}({self.operand(inner)}, "{zone}")'
            case (name, inner):
                return f"{name}({self.operand(inner)})"
        raise AssertionError(operand)

    def literal(self, value: object) -> str:
        if isinstance(value, list):
            return f"[{', '.join(map(self.literal, value))}]"
        if isinstance(value, str):
            return f"'{value}'" if self.random.random() < 0.3 else f'"{value}"'
        return json.dumps(value)
