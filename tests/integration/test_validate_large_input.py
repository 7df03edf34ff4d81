"""Inputs of 50 MB have a report too, within bounds of memory and time. Each is validated in a process that may not use more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS_SPACE = 1 << 30
SECONDS = 50
CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from ignition.rules import validate
size = 50_000_000
def repeated(unit): return unit * (size // len(unit))
raw = {source}
report = validate(raw)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(len(raw), peak, [str(problem)[:80] for problem in report.problems[:1]])
"""
HEAD = """b'{"ignition":{"version":"3.3.0"},'"""
SHAPES = {
    "one string in a known field": HEAD
    + """ + b'"systemd":{"units":[{"name":"a.service","contents":"' + repeated(b"#") + b'"}]}}'""",
    "one string in an unknown key": HEAD + """ + b'"x":"' + repeated(b"a") + b'"}'""",
    "a data URL": HEAD
    + """ + b'"storage":{"files":[{"path":"/a","contents":{"source":"data:;base64,' + repeated(b"AAAA") + b'"}}]}}'""",
    "small values in an unknown key": HEAD + """ + b'"x":[' + repeated(b"0,") + b'0]}'""",
    "files": HEAD + """ + b'"storage":{"files":[' + b",".join(b'{"path":"/a/%d"}' % n for n in range(2_500_000)) + b']}}'""",
    "keys": HEAD + """ + b",".join(b'"k%d":0' % n for n in range(4_000_000)) + b'}'""",
    "equal keys": HEAD + """ + repeated(b'"passwd":{},') + b'"x":0}'""",
    "deep and wide": HEAD + """ + b'"x":[' + repeated(b"[" * 900 + b"0" + b"]" * 900 + b",") + b'0]}'""",
    "nothing but brackets": """repeated(b"[")""",
    "white space": HEAD + """ + repeated(b" ") + b'"x":0}'""",
    "a number": HEAD + """ + b'"x":' + repeated(b"1") + b'}'""",
    "one unit of many lines": HEAD
    + """ + b'"systemd":{"units":[{"name":"a.service","contents":"[U]\\\\n' + repeated(b"a=b\\\\n") + b'"}]}}'""",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_large_inputs_have_a_report(shape: str) -> None:
    code = CHILD.format(limit=ADDRESS_SPACE, source=SHAPES[shape])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > 40_000_000, done.stdout
