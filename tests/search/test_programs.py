"""Programs that know nothing of searches work with the hits as with any files."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.searching import NEAREST, asked, found

ORDER = ["logs/rotate.md", "logs/syslog.txt", "recipes/bread.md", "recipes/deep/soup.txt"]
NAMES = ["001-rotate.md", "002-syslog.txt", "003-bread.md", "004-soup.txt"]


def run(*command: object) -> str:
    """Return what a program prints; it must succeed and complain of nothing."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


@pytest.fixture
def hits(notes: Path) -> Path:
    return asked(notes, NEAREST)


def test_ls_shows_the_hits_in_the_order_of_their_rank(hits: Path) -> None:
    assert run("ls", hits).split() == NAMES
    assert run("ls", "-U", hits).split() == NAMES


def test_ls_l_shows_the_true_sizes(hits: Path) -> None:
    lines = run("ls", "-l", hits).splitlines()[1:]
    sizes = [int(line.split()[4]) for line in lines]
    assert sizes == [len(path) + 1 for path in ORDER]
    assert all(line.startswith("-rw-r--r--") for line in lines)


def test_ls_la_and_ls_of_each_hit(hits: Path) -> None:
    assert set(NAMES) < set(run("ls", "-la", hits).split())
    for name in NAMES:
        assert run("ls", hits / name).strip() == str(hits / name)


def test_cat_reads_a_hit(hits: Path) -> None:
    assert run("cat", hits / NAMES[0]) == "logs/rotate.md\n"
    assert run("cat", *(hits / name for name in NAMES)) == "".join(f"{path}\n" for path in ORDER)


def test_cat_needs_no_listing_before(notes: Path) -> None:
    assert run("cat", asked(notes, NEAREST, "k=2", NAMES[1])) == "logs/syslog.txt\n"


def test_cp_r_copies_the_hits(hits: Path, tmp_path: Path) -> None:
    run("cp", "-r", hits, tmp_path / "copy")
    copied = {path.name: path.read_text() for path in (tmp_path / "copy").iterdir()}
    assert copied == {name: f"{path}\n" for name, path in zip(NAMES, ORDER, strict=True)}


def test_cp_a_copies_the_vector_of_a_hit_within_the_volume(hits: Path, mount: Path) -> None:
    run("cp", "-a", hits / NAMES[0], mount / "copied.md")
    assert (mount / "copied.md").read_text() == "logs/rotate.md\n"


def test_grep_r_reads_all_hits(hits: Path) -> None:
    lines = run("grep", "-r", "logs", hits).splitlines()
    assert sorted(lines) == [
        f"{hits}/001-rotate.md:logs/rotate.md",
        f"{hits}/002-syslog.txt:logs/syslog.txt",
    ]


def test_find_lists_the_hits_as_files(hits: Path) -> None:
    assert sorted(run("find", hits, "-type", "f").split()) == [f"{hits}/{name}" for name in NAMES]
    assert run("find", hits, "-name", "*.md", "-size", "-1k").split() == []
    assert len(run("find", hits, "-name", "*.md").split()) == 2


def test_rsync_a_copies_the_hits_and_has_nothing_left_to_do(hits: Path, tmp_path: Path) -> None:
    run("rsync", "-a", f"{hits}/", tmp_path / "copy")
    assert sorted(os.listdir(tmp_path / "copy")) == NAMES
    assert run("rsync", "-ai", f"{hits}/", tmp_path / "copy") == ""


def test_tar_packs_the_hits(hits: Path, tmp_path: Path) -> None:
    run("tar", "-C", hits, "-cf", tmp_path / "hits.tar", ".")
    run("tar", "-C", tmp_path, "-xf", tmp_path / "hits.tar")
    assert (tmp_path / NAMES[3]).read_text() == "recipes/deep/soup.txt\n"


def test_tree_shows_the_hits(hits: Path) -> None:
    shown = run("tree", "--noreport", hits)
    assert [line.split()[-1] for line in shown.splitlines()[1:]] == NAMES


def test_shell_patterns_expand_to_hits(hits: Path) -> None:
    assert run("bash", "-c", f'echo "{hits}"/*.md').split() == [
        f"{hits}/001-rotate.md",
        f"{hits}/003-bread.md",
    ]
    assert run("bash", "-c", f'grep -l soup "{hits}"/00?-*').split() == [f"{hits}/004-soup.txt"]


def test_scandir_tells_kind_and_number_of_each_hit(hits: Path) -> None:
    with os.scandir(hits) as entries:
        for entry in entries:
            assert entry.is_file()
            assert not entry.is_symlink()
            assert entry.inode() == entry.stat().st_ino == os.stat(entry.path).st_ino


def test_vim_opens_and_saves_a_hit(notes: Path, hits: Path) -> None:
    run("vim", "-Nnes", "-u", "NONE", "+%s/rotate/turned/", "+wq", hits / NAMES[0])
    assert (notes / "logs/rotate.md").read_text() == "logs/turned.md\n"
    assert found(notes, NEAREST)[0] == "logs/rotate.md"


def test_vim_with_its_usual_settings_saves_a_hit(notes: Path, hits: Path) -> None:
    """It would like a swap file and a backup beside the hit, and does without."""
    command = ["vim", "-Nes", "-u", "NONE", "+%s/syslog/messages/", "+wq", str(hits / NAMES[1])]
    subprocess.run(command, check=False, capture_output=True)
    assert (notes / "logs/syslog.txt").read_text() == "logs/messages.txt\n"
    assert os.listdir(notes / "logs") in (["rotate.md", "syslog.txt"], ["syslog.txt", "rotate.md"])


def test_sed_i_is_refused_and_harms_nothing(notes: Path, hits: Path) -> None:
    command = ["sed", "-i", "s/logs/x/", str(hits / NAMES[0])]
    assert subprocess.run(command, check=False, capture_output=True).returncode
    assert (notes / "logs/rotate.md").read_text() == "logs/rotate.md\n"


def test_links_lead_to_the_files_themselves(notes: Path) -> None:
    links = asked(notes, NEAREST, ".links")
    assert run("ls", links).split() == NAMES
    for name, path in zip(NAMES, ORDER, strict=True):
        assert (links / name).is_symlink()
        assert (links / name).resolve() == (notes / path).resolve()
        assert (links / name).read_text() == f"{path}\n"


def test_links_lead_out_of_several_segments(notes: Path) -> None:
    links = asked(notes / "logs", "ext=md", "k=3", ".links")
    assert os.readlink(links / "001-rotate.md") == "../../../../rotate.md"
    assert (links / "001-rotate.md").read_text() == "logs/rotate.md\n"
