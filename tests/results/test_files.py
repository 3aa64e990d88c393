"""What replaces a file replaces a file, and nothing else."""

import os
import socket
import stat
import threading

import pytest

from xent_numba.results import files


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "report.md"
    files.write(path, "before")
    files.write(path, b"after")
    assert path.read_bytes() == b"after"
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]


def test_what_was_there_stays_until_all_of_the_new_is_written(tmp_path):
    path = tmp_path / "report.md"
    files.write(path, "before")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\ud800")
    # A name so long that nothing can be written beside it and moved there.
    long = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="too long"):
        files.write(long, "after")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]


def test_an_interruption_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "report.md"
    files.write(path, "before")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_modes_of_new_files_are_those_of_new_files_and_others_stay(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    plain = tmp_path / "plain"
    plain.write_text("")
    old.write_text("before")
    old.chmod(0o640)
    for path in (new, old):
        files.write(path, "after")
    assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_keeps_pointing(tmp_path, exists):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link, second = folder / "run.json", tmp_path / "link", tmp_path / "second"
    if exists:
        target.write_text("before")
    link.symlink_to("elsewhere/run.json")
    second.symlink_to(link)
    files.write(second, "after")
    assert second.is_symlink()
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert not target.is_symlink()


def test_a_link_that_leads_to_itself_is_an_error_of_that_name(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="link") as error:
        files.write(link, "after")
    assert error.value.filename == str(link)
    assert link.is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path, linked):
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    files.write(path, b"x" * 200_000)  # more than a pipe holds
    reader.join(timeout=5)
    assert read == [b"x" * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert path.is_symlink() == linked


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no such sockets")
def test_a_socket_is_not_replaced(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with pytest.raises(OSError, match="s"):
            files.write(path, "after")
        assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_folder_is_an_error_of_that_name(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(OSError, match=r"directory") as error:
            files.write(path, "after")
        assert error.value.filename == str(path)
