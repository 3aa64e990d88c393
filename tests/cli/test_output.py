"""What is printed can be printed anywhere, and what cannot be printed costs no result."""

import contextlib
import errno
import io
import os
import re
import subprocess
import sys

import fabricated
import pytest

from xent_numba import cli
from xent_numba.cli.output import Output, progress


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A comparison that was kept."""
    folder = tmp_path_factory.mktemp("kept")
    fabricated.write(folder, "labels")
    return folder / "compare" / "labels.json"


class Full(io.StringIO):
    """A stream on a full disk."""

    encoding = "utf-8"

    def write(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "gbk", "cp1252", "latin-1"])
def test_letters_that_a_stream_lacks_are_spelled(encoding):
    kept = io.BytesIO()
    output = Output(io.TextIOWrapper(kept, encoding))
    output.write("±3 % × 2 µs ≥ ∞ é 日 \ud800\n")  # noqa: RUF001
    output.flush()
    assert output.error is None
    text = kept.getvalue().decode(encoding)
    if encoding == "ascii":
        assert text == "+-3 % x 2 us >= inf e ? ?\n"
    assert text.startswith(("+-3 % ", "±3 % "))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_comparison_is_shown_on_any_terminal(run, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "xent_numba", "compare", "--from-json", str(run)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.search(rb"numba_parallel +ok", done.stdout)


def test_a_full_disk_costs_what_would_have_been_printed(run, tmp_path, capsys):
    page = tmp_path / "run.md"
    with contextlib.redirect_stdout(Full()):
        assert cli.main(["compare", "--from-json", str(run), "--markdown", str(page)]) == 2
    assert "numba_parallel" in page.read_text()
    (line,) = capsys.readouterr().err.splitlines()
    assert "standard output: No space left on device; files are complete" in line


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe that can be closed")
def test_a_closed_pipe_costs_nothing_and_says_nothing(run, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    page = tmp_path / "run.md"
    command = ["compare", "--from-json", str(run), "--markdown", str(page)]
    with os.fdopen(writing) as closed:
        done = subprocess.run(
            [sys.executable, "-m", "xent_numba", *command],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "numba_parallel" in page.read_text()


def test_without_a_stream_nothing_is_said():
    output = Output(None)
    output.write("words")
    output.flush()
    assert output.error is None


def test_where_nobody_looks_progress_is_a_line_now_and_then(monkeypatch):
    kept = io.StringIO()
    seconds = iter(range(1000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    with progress(Output(kept)) as show:
        for step in range(100):
            show("timing", step / 100)
    lines = kept.getvalue().splitlines()
    assert 8 <= len(lines) <= 12
    first, *later = lines
    # Of the first few per cent nobody can say what the rest will take.
    assert re.fullmatch(r" *[0-4]% timing", first)
    assert all(re.fullmatch(r" *\d+% timing, about \d+ s left", line) for line in later)


def test_a_mistake_of_the_program_is_no_verdict(monkeypatch, capsys):
    def fail():
        raise ZeroDivisionError("of\nours")

    monkeypatch.setattr("xent_numba.results.machine.describe", fail)
    assert cli.main(["info"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: of ours; `xent-numba --debug info` shows where" in line
    assert cli.main(["--debug", "info"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0-99999999999", "99999999999-0", "-", "", "0,,1", "a"])
def test_cpus_that_are_not_there_are_refused_at_once(text, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["gate", "HEAD", f"--cpu-affinity={text}"])
    assert end.value.code == 2
    assert "--cpu-affinity" in capsys.readouterr().err
