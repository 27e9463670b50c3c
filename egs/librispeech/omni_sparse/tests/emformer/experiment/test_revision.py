# SPDX-License-Identifier: Apache-2.0
"""The revision of the code in a git repository, and outside one."""

import subprocess

from emformer.experiment.revision import git_revision


def git(folder, *command):
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e@example.com", *command],
        check=True,
        capture_output=True,
    )


def test_git_revision_names_the_commit_and_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_revision(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = git_revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "untracked").write_text("1")
    assert git_revision(tmp_path) == clean
    (tmp_path / "file").write_text("2")
    assert git_revision(tmp_path) == f"{clean}-dirty"


def test_git_revision_is_none_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision() is None
