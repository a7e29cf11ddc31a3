"""Commits, trees and lines come out of git's object store, whatever the repository and the environment look like."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from git_in_tests import FILES, LETTERS, MODEL, ROLES, Repository
from read_policies import open_policy_at

from klausel.core.loading.cache import LoadCache
from klausel.core.terms.problem import PolicyError
from klausel.service.pipeline import open_policy
from klausel.storage.git.objects import GitError, read_commit, read_tree
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import read_files


def ids_and_files(repository: GitRepository, folder: str = "policies") -> list[tuple[str, str]]:
    _, problems = repository.files_at(repository.commit("HEAD"), folder)
    return [(problem.id, problem.place.file) for problem in problems]


def test_a_commit_tells_who_wrote_it_when_and_what_for(made: Repository, opened: GitRepository) -> None:
    first = opened.commit("HEAD")
    made.commit({"policies/x.md": "note"}, "Second line\n  goes on\n\nA body.", author="Bo")
    told = opened.commit("main")
    assert (told.author, told.email, told.subject) == ("Bo", "bo@example.com", "Second line goes on")
    assert told.date == datetime(2026, 1, 5, 8, 2, tzinfo=timezone(timedelta(hours=1)))
    assert told.parents == (first.id,) and first.parents == ()


@pytest.mark.parametrize("revision", ["main", "HEAD", "@", "v1", "topic/x", "HEAD^0", "v1~0"])
def test_a_commit_is_found_by_every_kind_of_name(made: Repository, opened: GitRepository, revision: str) -> None:
    made.git("tag", "-a", "-m", "first", "v1")
    made.git("branch", "topic/x")
    assert opened.commit(revision).id == made.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "revision",
    ["", "-h", "--help", "--upload-pack=x", "HEAD:policies", "a\nb", "a\0b", "HEAD..HEAD", "^HEAD", "no such", "x" * 5000],
)
def test_a_name_of_no_commit_is_refused_and_is_never_an_option(opened: GitRepository, revision: str) -> None:
    with pytest.raises(GitError, match="git knows no commit"):
        opened.commit(revision)
    assert opened.commit("HEAD").subject == "Clerks read letters"


def test_a_commit_is_named_by_a_word_of_its_message(made: Repository, opened: GitRepository) -> None:
    assert opened.commit(":/Clerks").id == made.git("rev-parse", "HEAD")
    with pytest.raises(GitError, match='git knows no commit ":/nothing"'):
        opened.commit(":/nothing")


def test_a_misspelt_branch_is_told_the_nearest(made: Repository, opened: GitRepository) -> None:
    made.git("branch", "release")
    with pytest.raises(GitError, match=r'no commit "relaese"; did you mean "release"\?'):
        opened.commit("relaese")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("HEAD^{tree}", '"odd": it is a tree; name'),
        ("HEAD:policies/roles.yaml", '"odd": it is a blob; name'),
        ("of-a-tree", '"odd": it is a tag of something that is no commit; name'),
        ("0" * 39 + "1", '"odd": there is such a ref, but the commit that it names is not there'),
    ],
)
def test_a_ref_that_leads_to_no_commit_says_where_it_leads(
    made: Repository, opened: GitRepository, target: str, told: str
) -> None:
    made.git("tag", "-a", "-m", "x", "of-a-tree", "HEAD^{tree}")
    id = target if target.startswith("0") else made.git("rev-parse", target)
    (made.folder / ".git" / "refs" / "tags" / "odd").write_text(f"{id}\n")
    with pytest.raises(GitError, match=re.escape(f"git knows no commit {told}")):
        opened.commit("odd")


@pytest.mark.parametrize("revision", ["main@{upstream}", "main@{u}", "HEAD@{push}", "@{U}"])
def test_what_a_branch_follows_is_told_where_it_follows_nothing(
    made: Repository, opened: GitRepository, revision: str
) -> None:
    told = f'"{revision}" names what a branch follows in another repository, and it follows nothing'
    with pytest.raises(GitError, match=re.escape(told)):
        opened.commit(revision)
    assert opened.commit("HEAD").id == made.git("rev-parse", "HEAD")


def test_a_repository_without_commits_says_so(tmp_path: Path) -> None:
    Repository(tmp_path)
    with GitRepository.containing(tmp_path) as repository, pytest.raises(GitError, match="has no commits yet"):
        repository.commit("HEAD")


def test_outside_of_a_repository_the_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=f"{tmp_path / 'none'}: there is no git repository"):
        GitRepository.containing(tmp_path / "none")


def test_without_git_it_says_so(made: Repository, opened: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GitError, match="git is not installed"):
        GitRepository.containing(made.folder)


def test_the_repository_of_somebody_else_is_refused_with_the_cure(made: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(GitError, match=r"belongs to somebody else.*safe.directory"):
        GitRepository.containing(made.folder)


def test_files_of_a_commit_are_those_of_a_clean_work_tree(
    made: Repository, opened: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (
        "README.md",
        ".hidden",
        "demo/people.csv",
        "features/old.yaml~",
        "features/deep/x.csv",
        "x.yaml",
        "features/a.yml",
    )
    made.commit({f"policies/{name}": "p, boss, *, letter, burn, , allow\n" for name in more})
    monkeypatch.chdir(made.folder)
    files, problems = read_files(Path("policies"), Path("model.conf"))
    found, found_problems = opened.files_at(opened.commit("HEAD"), "policies")
    assert [*found, files[-1]] == files and found_problems == problems
    assert found[0].shown_as == "policies/features/deep/x.csv"


def test_the_policy_of_a_commit_decides_as_it_did_whatever_the_work_tree_says(
    made: Repository, opened: GitRepository
) -> None:
    first = made.git("rev-parse", "HEAD")
    before = open_policy(made.folder / "policies", made.folder / "model.conf")
    made.replace("policies/features/letters.yaml", "to: read", "to: [read, burn]")
    made.write({"policies/roles.yaml": "nonsense"})
    old = open_policy_at(opened, "HEAD~1", "policies", "model.conf")
    new = open_policy_at(opened, "HEAD", "policies", "model.conf")
    assert (old.files_digest, old.compiled.meaning_digest) == (before.files_digest, before.compiled.meaning_digest)
    assert old.commit is not None and (old.commit.id, old.commit.dirty) == (first, False)
    assert [grant.action for grant in new.compiled.policy.grants] == ["read", "burn"]


def test_with_a_cache_equal_files_of_two_commits_are_read_once(made: Repository, opened: GitRepository) -> None:
    made.commit({"policies/features/more.yaml": LETTERS.replace("letter", "parcel")})
    cache = LoadCache()
    old = open_policy_at(opened, "HEAD~1", "policies", "model.conf", cache=cache).compiled.policy
    new = open_policy_at(opened, "HEAD", "policies", "model.conf", cache=cache).compiled.policy
    assert old.resource_types["letter"] is new.resource_types["letter"]
    assert len(new.grants) == 2


def test_a_model_is_read_from_the_commit_or_from_a_file_outside(
    made: Repository, opened: GitRepository, tmp_path: Path
) -> None:
    made.git("rm", "--quiet", "model.conf")
    made.commit({})
    assert open_policy_at(opened, "HEAD~1", "policies", "model.conf").compiled.policy.grants
    (tmp_path / "other.conf").write_text(MODEL)
    assert open_policy_at(opened, "HEAD", "policies", tmp_path / "other.conf").compiled.policy.grants
    with pytest.raises(PolicyError, match=r"model.conf:1:1: error: there is no such file"):
        open_policy_at(opened, "HEAD", "policies", "model.conf")


def test_a_folder_that_the_commit_lacks_is_named(made: Repository, opened: GitRepository) -> None:
    first = made.git("rev-parse", "HEAD")
    for folder in ("policy", "model.conf", "policies/roles.yaml/x", "../repo/policies"):
        with pytest.raises(GitError, match=f"commit {first[:12]} has no folder {folder}"):
            opened.files_at(opened.commit("HEAD"), folder)


def test_the_root_of_a_repository_can_be_the_folder(tmp_path: Path) -> None:
    made = Repository(tmp_path)
    made.commit({"roles.yaml": ROLES, "features/letters.yaml": LETTERS})
    with GitRepository.containing(tmp_path / "features") as repository:
        assert repository.tree_path(tmp_path) == ""
        files, problems = repository.files_at(repository.commit("HEAD"), "")
        assert [file.name for file in files] == ["features/letters.yaml", "roles.yaml"] and problems == []


def test_links_and_submodules_of_a_commit_are_problems(made: Repository, opened: GitRepository) -> None:
    os.symlink("/etc/passwd", made.folder / "policies" / "conditions.yaml")
    os.symlink("features", made.folder / "policies" / "more")
    inner = Repository(made.folder / "policies" / "features" / "sub")
    inner.commit({"x.yaml": LETTERS})
    made.commit({})
    assert ids_and_files(opened) == [
        ("unreadable-file", str(made.folder / "policies" / name)) for name in ("conditions.yaml", "features/sub", "more")
    ]
    os.remove(made.folder / "model.conf")
    os.symlink("/etc/passwd", made.folder / "model.conf")
    made.commit({})
    content, problem = opened.file_at(opened.commit("HEAD"), "model.conf")
    assert content is None and problem is not None and "this is a link" in problem.message


def test_a_file_that_is_too_large_is_a_problem_and_the_rest_is_read(made: Repository, opened: GitRepository) -> None:
    made.commit({"policies/features/big.csv": "#" * (4 * 1024 * 1024 + 1)})
    assert [id for id, _ in ids_and_files(opened)] == ["unreadable-file"]
    files, _ = opened.files_at(opened.commit("HEAD"), "policies")
    assert [file.name for file in files] == ["features/letters.yaml", "roles.yaml"]


def test_a_bare_repository_a_linked_work_tree_and_a_clone_are_read_alike(made: Repository, tmp_path: Path) -> None:
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    made.git("clone", "--quiet", "--depth=1", f"file://{made.folder}", str(tmp_path / "shallow"))
    made.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    made.git("repack", "-adq")
    for path in (tmp_path / "bare.git", tmp_path / "shallow", tmp_path / "linked", made.folder / ".git"):
        with GitRepository.containing(path) as repository:
            assert open_policy_at(repository, "HEAD", "policies", "model.conf").compiled.policy.grants
            assert (repository.work_tree is None) == (path.name in ("bare.git", ".git"))


def test_a_repository_with_sha256_ids_is_read(tmp_path: Path) -> None:
    made = Repository(tmp_path, "--object-format=sha256")
    made.commit(FILES)
    with GitRepository.containing(tmp_path) as repository:
        assert open_policy_at(repository, "HEAD", "policies", "model.conf").compiled.policy.grants
        assert len(repository.blame(repository.commit("HEAD"), "model.conf")[0]) == 64


def test_paths_with_signs_that_git_could_take_for_patterns_are_plain_names(tmp_path: Path) -> None:
    made = Repository(tmp_path)
    first = made.commit({f"-o [x]*/ä {name}": text for name, text in {"roles.yaml": ROLES}.items()})
    made.commit({"-o x/other": ""})
    with GitRepository.containing(tmp_path) as repository:
        head = repository.commit("HEAD")
        folder = repository.tree_path(tmp_path / "-o [x]*")
        assert [one.id for one in repository.history(head, [folder])] == [first]
        assert set(repository.blame(head, f"{folder}/ä roles.yaml")) == {first}


def test_what_a_hook_leaves_in_the_environment_does_not_choose_another_repository(
    made: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    other.commit({"x": "y"}, "Another repository")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    with GitRepository.containing(made.folder) as repository:
        assert repository.commit("HEAD").subject == "Clerks read letters"
        assert open_policy(made.folder / "policies", made.folder / "model.conf").commit is not None


def test_a_hostile_configuration_runs_nothing(made: Repository, opened: GitRepository, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    program = f"touch {trap}; cat"
    for key in (
        "core.fsmonitor",
        "diff.evil.textconv",
        "diff.external",
        "core.pager",
        "filter.evil.smudge",
        "filter.evil.clean",
    ):
        made.git("config", key, program)
    hook = made.folder / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    (made.folder / ".git" / "info" / "attributes").write_text("* diff=evil filter=evil\n")
    with GitRepository.containing(made.folder) as repository:
        head = repository.commit("HEAD")
        open_policy_at(repository, "HEAD", "policies", "model.conf")
        assert len(repository.blame(head, "policies/roles.yaml")) == ROLES.count("\n")
        assert len([*repository.history(head, ["policies"])]) == 1
    assert not trap.exists()


def test_commits_that_the_configuration_would_hide_or_replace_are_still_told(
    made: Repository, opened: GitRepository
) -> None:
    first = made.git("rev-parse", "HEAD")
    second = made.replace("policies/features/letters.yaml", "to: read", "to: burn", "Burn", author="Eve")
    (made.folder / ".ignored").write_text(second + "\n")
    made.git("config", "blame.ignoreRevsFile", str(made.folder / ".ignored"))
    made.git("replace", second, first)
    with GitRepository.containing(made.folder) as repository:
        head = repository.commit("HEAD")
        assert (head.id, head.author) == (second, "Eve")
        assert repository.blame(head, "policies/features/letters.yaml") == [first] * 4 + [second] + [first]


def test_blame_follows_a_file_that_was_renamed(made: Repository, opened: GitRepository) -> None:
    first = made.git("rev-parse", "HEAD")
    made.git("mv", "policies", "rules")
    made.commit({}, "Rename")
    assert set(opened.blame(opened.commit("HEAD"), "rules/features/letters.yaml")) == {first}


def test_history_lists_what_touched_the_paths_newest_first(made: Repository, opened: GitRepository) -> None:
    first = made.git("rev-parse", "HEAD")
    made.commit({"other.txt": "x"})
    third = made.replace("policies/features/letters.yaml", "to: read", "to: burn")
    assert [one.id for one in opened.history(opened.commit("HEAD"), ["policies", "model.conf"])] == [third, first]
    assert len([*opened.history(opened.commit("HEAD"), [])]) == 3


def test_a_new_commit_and_a_repack_are_seen_by_an_open_repository(made: Repository, opened: GitRepository) -> None:
    opened.commit("HEAD")
    second = made.replace("policies/features/letters.yaml", "to: read", "to: burn")
    made.git("gc", "--quiet", "--prune=now")
    assert opened.commit("main").id == second
    third = made.replace("policies/features/letters.yaml", "to: burn", "to: write")
    assert opened.commit("main").id == third
    assert open_policy_at(opened, "HEAD", "policies", "model.conf").compiled.policy.grants[0].action == "write"


def test_a_repository_that_is_gone_is_an_error_and_no_hang(made: Repository, opened: GitRepository) -> None:
    head = opened.commit("HEAD")
    opened.close()
    shutil.rmtree(made.folder / ".git")
    with pytest.raises(GitError, match="git cat-file failed"):
        opened.commit("HEAD")
    with pytest.raises(GitError):
        list(opened.history(head, ["policies"]))


def test_a_commit_with_strange_bytes_is_told_in_printable_characters() -> None:
    head = (
        b"tree 00\nauthor \x1b[31mEv\xe9 <e\x07@x> 99999999999999 +9999\nencoding latin-1\n\nSub\x1b]ject\r\nsecond\n\nbody"
    )
    told = read_commit("id", head)
    assert (told.author, told.email, told.subject) == ("\ufffd[31mEvé", "e\ufffd@x", "Sub\ufffd]ject second")
    assert told.date == datetime.fromtimestamp(0, UTC)
    assert read_commit("id", b"tree 00\nauthor nobody\nencoding no-such\n\n\n\n").author == "nobody"
    assert read_commit("id", b"tree 00\n\n").subject == ""


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"same"])
def test_a_tree_with_names_that_no_folder_can_hold_is_refused(name: bytes) -> None:
    content = b"".join(b"100644 %s\0%s" % (one, b"x" * 20) for one in (b"same", name))
    with pytest.raises(GitError, match="no folder can hold"):
        list(read_tree(content, 20))


def test_a_tree_that_is_cut_off_is_refused() -> None:
    for content in (b"100644 a\0short", b"100644", b"100644 a"):
        with pytest.raises(GitError, match="damaged"):
            list(read_tree(content, 20))


def test_whether_the_files_are_those_of_the_commit_is_told_by_their_bytes(made: Repository) -> None:
    def is_dirty() -> bool:
        loaded = open_policy(made.folder / "policies", made.folder / "model.conf")
        assert loaded.commit is not None and loaded.commit.id == made.git("rev-parse", "HEAD")
        return loaded.commit.dirty

    made.write({"policies/README.md": "A note", "else.txt": "x"})
    assert is_dirty() is False
    made.git("update-index", "--skip-worktree", "policies/features/letters.yaml")
    made.write({"policies/features/letters.yaml": LETTERS.replace("to: read", "to: burn")})
    assert made.git("status", "--porcelain", "policies/features") == "" and is_dirty() is True
    made.write({"policies/features/letters.yaml": LETTERS})
    assert is_dirty() is False


def test_reading_a_work_tree_runs_nothing_that_its_configuration_names(made: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for key in ("core.fsmonitor", "filter.evil.clean"):
        made.git("config", key, f"touch {trap}; cat")
    made.write({".gitattributes": "* filter=evil\n", "policies/roles.yaml": ROLES + "\n"})
    loaded = open_policy(made.folder / "policies", made.folder / "model.conf")
    assert loaded.commit is not None and loaded.commit.dirty
    assert not trap.exists()


@pytest.mark.parametrize("revision", ["HEAD@{2026-06-01}", "HEAD@{1}", "@{yesterday}", "main@{ 1 month ago }", "@{-1}"])
def test_what_only_the_reflog_of_a_clone_knows_is_refused(opened: GitRepository, revision: str) -> None:
    with pytest.raises(GitError, match="asks the reflog of this clone"):
        opened.commit(revision)


def test_what_editors_leave_is_ignored_in_a_commit_too(made: Repository, opened: GitRepository) -> None:
    names = ("4913", "#letters.yaml#", "letters.yaml.orig", "letters.yaml.new", "letters.yaml~", ".letters.yaml.swp")
    made.commit({f"policies/features/{name}": LETTERS for name in names})
    assert ids_and_files(opened) == []
