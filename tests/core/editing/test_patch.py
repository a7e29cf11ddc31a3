"""What was edited leaves as a patch that git takes, byte by byte."""

from pathlib import Path

from git_in_tests import Repository

from klausel.core.editing.patch import FileChange, patch_of

BEFORE = {
    "p/plain.yaml": b"".join(b"line %d\n" % number for number in range(40)),
    "p/no end.yaml": b"one\ntwo",
    "p/windows.yaml": b"one\r\ntwo\r\n",
    'p/quo"te\\\u00e9.yaml': "one\u2028still one\x0cstill\n".encode(),
    "p/was empty.yaml": b"",
    "p/loses its end.yaml": b"one\ntwo\n",
    "p/goes.yaml": b"one\n-- two",
    "p/goes empty.yaml": b"",
}
AFTER = {
    "p/plain.yaml": BEFORE["p/plain.yaml"].replace(b"line 3\n", b"").replace(b"line 33\n", b"-- a\n++ b\n"),
    "p/no end.yaml": b"one\ntwo and more",
    "p/windows.yaml": b"one\r\ntwo\r\nthree\r\n",
    'p/quo"te\\\u00e9.yaml': "one\u2028still one\x0cother\n".encode(),
    "p/was empty.yaml": b"something\n",
    "p/loses its end.yaml": b"one\ntwo",
    "p/features/new one.yaml": b"a: 1\n",
    "p/goes.yaml": None,
    "p/goes empty.yaml": None,
}


def test_git_apply_makes_of_the_old_files_exactly_the_new_ones(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    for name, content in BEFORE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    patch = patch_of(FileChange(name, BEFORE.get(name), content) for name, content in AFTER.items())
    repository.git("apply", "--whitespace=nowarn", "-", stdin=patch)
    here = {name: (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None for name in AFTER}
    assert here == AFTER


def test_where_nothing_is_changed_there_is_no_patch() -> None:
    assert patch_of([FileChange("p/roles.yaml", b"a: 1\n", b"a: 1\n")]) == b""
