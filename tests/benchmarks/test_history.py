"""The history that asv keeps: its matrix, its thresholds, and the site it publishes."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from asv import environment, util
from asv.config import Config
from asv.results import Results
from asv.runner import BenchmarkResult
from required import missing

from xent_numba import cli

ROOT = Path(__file__).parents[2]
COMMITS, SLOWER_FROM, DAY = 24, 12, 86_400

# What the site asks the network for, and where it is in the packages that .ci/site.py fetches.
SCRIPTS = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "flot/jquery.flot.js",
    "jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}
# Sorts tables on a click; on no package registry.
STUPIDTABLE = "jQuery.fn.stupidtable = jQuery.fn.stupidsort = function () { return this; };"

SLOWER = ("times.time_sigmoid", ("numba_parallel", "float32", "1000000"))
LESS_ACCURATE = ("qualities.Accuracy.track_max_ulp", ("sigmoid", "numba_parallel", "float64"))


@pytest.fixture(scope="module")
def configuration():
    return Config.load(str(ROOT / "asv.conf.json"))


def test_the_matrix_is_small_and_holds_the_oldest_versions(configuration):
    found = [
        {"python": python} | {key: value for (_, key), value in entries.items()}
        for python in configuration.pythons
        for entries in environment.iter_matrix("virtualenv", [python], configuration)
    ]
    columns = ("pip+numba", "pip+numpy")
    newest, oldest = ("", ""), ("0.62.1", "1.26.4")
    wheels = sys.version_info < (3, 13)
    assert [tuple(one[c] for c in columns) for one in found] == [newest, *[oldest] * wheels]
    project = (ROOT / "pyproject.toml").read_text()
    assert '"numba>=0.62", "numpy>=1.26"' in project


def test_a_machine_is_known_by_what_computes(tmp_path, capsys):
    assert cli.main(["info", "--cpu"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert re.search(r", \d+ bit SIMD, |, no bit SIMD, ", line)
    for options in (["--yes"], ["--cpu", line]):
        command = [sys.executable, "-m", "asv", "machine", *options]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    (kept,) = (
        one
        for key, one in json.loads((tmp_path / ".asv-machine.json").read_text()).items()
        if key != "version"
    )
    assert kept["cpu"] == line
    assert kept["ram"]


@pytest.mark.slow
def test_compiled_code_of_two_commits_is_never_shared(tmp_path):
    """asv checks them out into the same folder, one after the other."""
    for part in ("xent_numba", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    program = (
        "import benchmarks, numpy, xent_numba\n"
        "from xent_numba.implementations import numba_parallel\n"
        "print(xent_numba.sigmoid(numpy.full(2000, 1.0))[0])\n"
        "print(sum(numba_parallel.sigmoid_kernel.stats.cache_hits.values()))\n"
    )

    def run():
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
        value, hits = done.stdout.split()
        return float(value), int(hits)

    constants = tmp_path / "xent_numba" / "kernels" / "cpu" / "losses.py"
    first = constants.read_text()
    second = first.replace("one=1.0,", "one=1.5,")
    assert first != second
    right, hits = run()
    assert (right, hits) == (pytest.approx(1 / (1 + math.exp(-1))), 0)
    constants.write_text(second)
    wrong, hits = run()
    assert hits == 0
    assert abs(wrong - right) > 0.01
    constants.write_text(first)
    assert run() == (right, 1)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    """The project's own benchmarks, as asv finds them."""
    folder = tmp_path_factory.mktemp("discovered")
    program = (
        "import json, sys\n"
        "from asv_runner.discovery import list_benchmarks\n"
        "list_benchmarks(sys.argv[1], open(sys.argv[2], 'w'))\n"
    )
    file = folder / "benchmarks.json"
    command = [sys.executable, "-c", program, str(ROOT / "benchmarks"), str(file)]
    subprocess.run(command, cwd=ROOT, check=True)
    return {one["name"]: one for one in json.loads(file.read_text())}


def test_every_benchmark_has_one_threshold(configuration, discovered):
    for name in discovered:
        matching = [x for x in configuration.regressions_thresholds if re.match(x, name)]
        assert len(matching) == 1, name


def test_operation_implementation_dtype_and_size_can_be_chosen(discovered):
    for name, one in discovered.items():
        if name.startswith("times."):
            control = name == "times.time_control"
            assert one["param_names"] == ([] if control else ["implementation", "dtype", "size"])


def published(folder, configuration, discovered):
    """Publish fabricated results of so many commits, in which two benchmarks get worse."""
    repository, results = folder / "repository", folder / "results"
    repository.mkdir()

    def git(*arguments, day=0):
        date = f"{1_700_000_000 + day * DAY} +0000"
        who = {f"GIT_{x}_{y}": "a" for x in ("AUTHOR", "COMMITTER") for y in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            env={**os.environ, **who, **dates},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    machine = {
        "machine": "fabricated",
        "cpu": "an abacus, 512 bit SIMD, no GPU",
        "os": "",
        "arch": "",
    }
    machine |= {"num_cpu": "2", "ram": "1"}
    (results / "fabricated").mkdir(parents=True)
    util.write_json(str(results / "fabricated" / "machine.json"), machine, 1)
    benchmarks = {name: dict(discovered[name]) for name in (SLOWER[0], LESS_ACCURATE[0])}
    util.write_json(str(results / "benchmarks.json"), dict(benchmarks), 2)
    for day in range(COMMITS):
        git("commit", "--quiet", "--allow-empty", "-m", f"commit {day}", day=day)
        commit, date = git("rev-parse", "HEAD"), 1000 * (1_700_000_000 + day * DAY)
        found = Results(
            {**machine, "python": "3.11", "NUMBA_NUM_THREADS": "2"},
            {},
            commit,
            date,
            "3.11",
            "fabricated",
            {},
        )
        worse = day >= SLOWER_FROM
        for (name, which), good, bad in (
            (SLOWER, 0.001, 0.0013),
            (LESS_ACCURATE, 0.9578, 0.97),
        ):
            values = [
                (bad if worse else good) if set(which) <= {x.strip("'") for x in chosen} else good
                for chosen in itertools.product(*benchmarks[name]["params"])
            ]
            nothing = [None] * len(values)
            found.add_result(
                benchmarks[name], BenchmarkResult(values, nothing, nothing, 0, "", None)
            )
        found.save(str(results))
    document = {
        "version": 1,
        "project": configuration.project,
        "project_url": configuration.project_url,
        "show_commit_url": configuration.show_commit_url,
        "repo": str(repository),
        "branches": ["main"],
        "benchmark_dir": str(ROOT / "benchmarks"),
        "results_dir": str(results),
        "html_dir": str(folder / "html"),
        "env_dir": str(folder / "env"),
        "regressions_thresholds": configuration.regressions_thresholds,
    }
    (folder / "asv.conf.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "asv", "publish", "--no-pull"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def site(tmp_path_factory, configuration, discovered):
    return published(tmp_path_factory.mktemp("history"), configuration, discovered)


def test_regressions_are_those_planted(site):
    listed = json.loads((site / "regressions.json").read_text())["regressions"]
    assert len(listed) == 2
    for (name, which), found in zip((LESS_ACCURATE, SLOWER), sorted(listed), strict=True):
        assert found[0].startswith(name)
        assert all(one in found[0] for one in which)


@pytest.fixture
def page(browser, site):
    """The site in a browser, with the scripts that it asks the network for."""
    folder = os.environ.get("XENT_SITE_SCRIPTS")
    if not folder:
        missing("site", "XENT_SITE_SCRIPTS names no folder; .ci/site.py fetches it")
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(60_000)
    said = []

    def serve(route):
        url = urlsplit(route.request.url)
        name = url.path.rpartition("/")[2] or "index.html"
        if url.netloc != "site.test":
            script = STUPIDTABLE if name == "stupidtable.min.js" else None
            file = Path(folder) / SCRIPTS.get(name, "none")
        else:
            script, file = None, site / unquote(url.path).lstrip("/")
            file = file / "index.html" if file.is_dir() else file
        if script is None and not file.is_file():
            route.fulfill(status=404)
            return
        body = script or file.read_bytes()
        if name == "index.html":
            # The files from npm are not minified as those that the checksums are of.
            body = re.sub(rb'integrity="[^"]*"', b"", body)
        kinds = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
        kind = kinds.get(Path(name).suffix, "application/json")
        route.fulfill(status=200, body=body, content_type=kind)

    opened = context.new_page()
    opened.route("**/*", serve)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert said == []


def test_a_graph_renders_in_which_one_can_choose(page):
    page.goto(f"http://site.test/#{SLOWER[0]}")
    # Points are drawn: a canvas with nothing but axes has hardly any coloured pixel.
    page.wait_for_function("""() => {
        const canvas = document.querySelector("#main-graph canvas.flot-base");
        if (!canvas) return false;
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let coloured = 0;
        for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = data.slice(i, i + 4);
            coloured += a > 0 && Math.max(r, g, b) - Math.min(r, g, b) > 60;
        }
        return coloured > 200;
    }""")
    choices = page.locator("#graphdisplay-navigation").inner_text()
    for word in ("implementation", "numba_parallel", "dtype", "float64", "size", "1000000"):
        assert word in choices


def test_the_regressions_page_lists_what_was_planted(page):
    page.goto("http://site.test/#/regressions")
    row = page.locator("#regressions-body tr", has_text=SLOWER[0]).first
    text = row.inner_text()
    assert "numba_parallel" in text
    assert "1.30x" in text
    assert page.locator("#regressions-body tr", has_text="track_max_ulp").count() >= 1


@pytest.mark.soak
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the oldest pair has no wheels for it")
def test_the_oldest_environment_runs_what_it_is_filed_under(tmp_path):
    """Made by asv as it stands in the matrix, with one benchmark in it."""
    document = {
        **util.load_json(str(ROOT / "asv.conf.json"), js_comments=True),
        "repo": str(ROOT),
        "branches": ["HEAD"],
        "benchmark_dir": str(ROOT / "benchmarks"),
    }
    document |= {name: str(tmp_path / name) for name in ("env_dir", "results_dir", "html_dir")}
    (tmp_path / "asv.conf.json").write_text(json.dumps(document))
    oldest = [
        one.name
        for one in environment.get_environments(Config.from_json(document), None)
        if "numpy1.26.4" in one.name
    ]
    options = ["run", "--quick", "--bench", "^times.time_sigmoid", "-E", *oldest, "HEAD^!"]
    for command in (["machine", "--yes"], options):
        done = subprocess.run(
            [sys.executable, "-m", "asv", *command],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stdout + done.stderr
    (results,) = (p for p in (tmp_path / "results_dir").glob("*/*.json") if "numpy" in p.name)
    found = json.loads(results.read_text())
    assert found["requirements"]["pip+numba"] == "0.62.1"
    ((values, *_),) = found["results"].values()
    assert len(values) == 4
    assert all(0 < value < 10 for value in values)
    (python,) = (tmp_path / "env_dir").glob("*/bin/python")
    code = "import numba, numpy; print(numba.__version__, numpy.__version__)"
    versions = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert versions.stdout.split() == ["0.62.1", "1.26.4"]
