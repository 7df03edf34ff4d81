"""Kubernetes' programs: what is in their key, and how a build is asked for and followed."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.artifacts import kubernetes
from kubeception_sim.artifacts.kubernetes import PROGRAMS, DebianSource, LocalDirectory, Release, debian
from kubeception_sim.errors import BadInput

LOG = """\
step: package lists
Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]
step: source
dpkg-source: info: extracting kubernetes in source
step: generated code
+++ [1123 03:22:56] Building go targets for linux/amd64:
    ./vendor/k8s.io/code-generator/cmd/conversion-gen
packages: 4
+++ [1123 03:24:20] Building go targets for linux/amd64:
runtime/internal/sys
k8s.io/kubernetes/vendor/gopkg.in/yaml.v2
k8s.io/kubernetes/pkg/kubelet
k8s.io/kubernetes/cmd/kubelet
"""


@pytest.mark.parametrize(
    ("named", "source"),
    [
        ("", DebianSource()),
        ("https://dl.k8s.io", Release("https://dl.k8s.io")),
        ("http://127.0.0.1:8000/mirror", Release("http://127.0.0.1:8000/mirror")),
        ("/opt/kubernetes", LocalDirectory(Path("/opt/kubernetes"))),
        ("file:///opt", LocalDirectory(Path("file:///opt"))),
    ],
)
def test_the_environment_names_the_source(named: str, source: kubernetes.Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kubernetes.VARIABLE, named)
    assert kubernetes.chosen() == source


def test_the_key_changes_with_the_source_the_version_and_the_programs() -> None:
    release = Release("https://dl.k8s.io")
    keys = [
        kubernetes.key(DebianSource()),
        kubernetes.key(release),
        kubernetes.key(release, "v1.30.1"),
        kubernetes.key(DebianSource(), programs=(*PROGRAMS, "e2e.test", "ginkgo")),
    ]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[0-9a-f]{32}", key) for key in keys)
    assert kubernetes.key(Release("https://mirror.example.org/")) == kubernetes.key(release)


@given(st.permutations(PROGRAMS))
def test_the_order_of_programs_makes_no_difference(programs: list[str]) -> None:
    assert kubernetes.key(DebianSource(), programs=programs) == kubernetes.key(DebianSource())


def test_what_is_expected_is_told_without_making_it(tmp_path: Path) -> None:
    found = kubernetes.expected(tmp_path / "cache", source=DebianSource())
    assert (found.version, found.directory.parent) == (debian.VERSION, tmp_path / "cache" / kubernetes.KIND)
    assert found.key == found.directory.name == kubernetes.key(DebianSource())
    assert not (tmp_path / "cache").exists()


def test_every_program_a_cluster_needs_has_a_target() -> None:
    assert set(PROGRAMS) <= set(debian.TARGETS)


def test_a_program_that_the_source_does_not_have_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="kubelets: not a program of Kubernetes' source") as problem:
        kubernetes.ensure(tmp_path, lambda what, done: None, programs=("kubelets",), source=DebianSource())
    assert "kubelet" in problem.value.hint


def test_the_mirrors_of_this_host_are_asked_for_sources() -> None:
    mirrors = [
        "deb http://mirror.example.org/debian/ bookworm main",
        "deb http://mirror.example.org/security/ bookworm-security main",
    ]
    assert debian.source_lists(mirrors) == (
        "deb-src http://mirror.example.org/debian/ bookworm main\n"
        "deb-src http://mirror.example.org/security/ bookworm-security main\n"
    )


def test_where_the_host_is_no_bookworm_debians_own_mirror_is_asked_with_debians_own_key() -> None:
    assert debian.source_lists([]) == (
        "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n"
    )


def test_a_build_is_followed_by_the_packages_that_it_compiles() -> None:
    meter = debian.Meter()
    told = [step for line in LOG.splitlines() if (step := meter.read(line))]
    assert [what for what, _ in told] == ["package lists", "source", "generated code", *["compiling"] * 5]
    assert [done for _, done in told] == sorted({done for _, done in told})
    assert 0.9 < told[-1][1] < 1.0


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=30)), st.integers(1, 5))
def test_no_line_of_a_log_makes_the_bar_fall_or_overflow(lines: list[str], packages: int) -> None:
    meter = debian.Meter()
    text = [line for line in lines if not line.strip().startswith(("step: ", "packages: "))]
    told = [step for line in (f"packages: {packages}", *text) if (step := meter.read(line))]
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert all(done <= 1 for _, done in told)


def test_the_script_announces_every_step_that_the_meter_knows() -> None:
    script = (Path(debian.__file__).parent / "build.sh").read_text()
    announced = re.findall(r'echo "step: (.*)"', script)
    assert announced == ["package lists", "source", "generated code"]
    assert [debian.Meter().read(f"step: {step}") is not None for step in announced] == [True] * 3
