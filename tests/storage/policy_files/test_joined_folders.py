"""Several policy folders joined to one set: what is read of each, at a commit too, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from git_fixtures import made, own_environment
from git_in_tests import LETTERS, MODEL, ROLES, Repository

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.problem import PolicyError
from klausel.service.pipeline import load_files
from klausel.storage.git.objects import GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import folders_of, read_at, read_folder, shown, tree_path_of

__all__ = ["made", "own_environment"]

BOSSES = "grants:\n  - {allow: boss, to: burn, resource: letter}\n"
FILES = {
    "model.conf": MODEL,
    "base/roles.yaml": ROLES,
    "base/features/letters.yaml": LETTERS,
    "production/features/letters.yaml": BOSSES,
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "joined")
    found.commit(FILES)
    return found


def both(repository: Repository, *names: str) -> Path:
    return Path(os.pathsep.join(str(repository.folder / name) for name in names or ("base", "production")))


def grants_of(policies: Path, model: Path) -> list[str]:
    policy = load_files(read_folder(policies, model)).compiled.policy
    return [f"{grant.grantee} {grant.action} {Path(grant.place.file).parts[-3]}" for grant in policy.grants]


def test_files_of_one_name_in_two_folders_are_both_read_and_the_first_comes_first(repository: Repository) -> None:
    model = repository.folder / "model.conf"
    assert grants_of(both(repository), model) == ["clerk read base", "boss burn production"]
    assert grants_of(both(repository, "base"), model) == ["clerk read base"]


def test_the_digest_of_the_files_tells_folders_and_their_order_apart(repository: Repository) -> None:
    def digest(*layers: int) -> str:
        files = [SourceFile("roles.yaml", "roles.yaml", ROLES.encode())]
        texts = [LETTERS, BOSSES.replace("boss", "clerk"), BOSSES]
        files += [SourceFile(f"features/{i}.yaml", f"{i}", texts[i].encode(), layer) for i, layer in enumerate(layers)]
        return load_policy(files).or_raise().files_digest

    assert len({digest(0, 0, 0), digest(0, 0, 1), digest(0, 1, 1), digest(0, 1, 2), digest(0, 2, 1)}) == 5


def test_a_folder_that_has_the_name_of_several_is_one(tmp_path: Path) -> None:
    odd = tmp_path / f"a{os.pathsep}b"
    odd.mkdir()
    assert folders_of(odd) == (odd,)
    assert folders_of(tmp_path / f"c{os.pathsep}d") == (tmp_path / "c", Path("d"))


def test_a_folder_that_is_missing_empty_twice_or_without_a_name_is_refused(repository: Repository) -> None:
    (repository.folder / "empty").mkdir()
    model = repository.folder / "model.conf"
    base = repository.folder / "base"
    for policies, id_ in [
        (both(repository, "base", "nowhere"), "missing-file"),
        (both(repository, "nowhere", "base"), "missing-file"),
        (both(repository, "base", "empty"), "missing-file"),
        (both(repository, "base", "production/../base"), "later-folder"),
        (Path(f"{base}{os.pathsep}"), "later-folder"),
        (both(repository, "production", "base"), "missing-file"),
    ]:
        with pytest.raises(PolicyError) as caught:
            load_files(read_folder(policies, model))
        assert id_ in {problem.id for problem in caught.value.problems}, policies


def test_a_file_without_meaning_in_a_later_folder_is_a_problem_that_names_it(repository: Repository) -> None:
    repository.write({"production/rolls.yaml": "{}\n"})
    found = read_folder(both(repository), repository.folder / "model.conf")
    assert [(problem.id, problem.place.file) for problem in found.problems] == [
        ("unknown-file", shown(repository.folder / "production" / "rolls.yaml"))
    ]


def test_the_commit_is_that_of_all_folders_and_dirty_where_one_is(repository: Repository, made: Repository) -> None:
    model = repository.folder / "model.conf"
    commit = read_folder(both(repository), model).find_commit()
    assert commit is not None and not commit.dirty
    repository.write({"production/features/letters.yaml": BOSSES + "# more\n"})
    commit = read_folder(both(repository), model).find_commit()
    assert commit is not None and commit.dirty
    made.commit({"elsewhere/features/x.yaml": BOSSES})
    apart = Path(f"{repository.folder / 'base'}{os.pathsep}{made.folder / 'elsewhere'}")
    assert read_folder(apart, model).find_commit() is None


def test_all_folders_are_read_at_one_commit(repository: Repository, made: Repository) -> None:
    before = load_files(read_folder(both(repository), repository.folder / "model.conf"))
    repository.replace("production/features/letters.yaml", "burn", "write")
    with GitRepository.containing(repository.folder / "base") as opened:
        folders = tree_path_of(opened, both(repository))
        assert folders == "base:production"
        at_first = load_files(read_at(opened, "HEAD~1", folders))
        assert at_first.files_digest == before.files_digest
        assert load_files(read_at(opened, "HEAD", folders)).files_digest != before.files_digest
        for wrong in ("base:nowhere", "base:base", "base:", ":base"):
            with pytest.raises(GitError):
                read_at(opened, "HEAD", wrong)
        with pytest.raises(GitError, match="does not lie in the work tree"):
            tree_path_of(opened, Path(f"{repository.folder / 'base'}{os.pathsep}{made.folder}"))
