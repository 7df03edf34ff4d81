"""The real Ignition binary: where it is, which specs it takes, how its stages are run."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ignition.specs import NEWEST, SPECS, Spec
from ignition.stages import confine
from ignition.stages.errors import ApplyError, EngineFailed, EngineMissing

PLACES = (Path("/usr/lib/dracut/modules.d/30ignition/ignition"), Path("/usr/libexec/ignition"))
"""Where Debian, Fedora and SUSE put it, and where newer images have it. PATH may have our own command of that name."""

_RELEASE = re.compile(r"\b2\.([0-9]+)\.[0-9]")
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HASH = re.compile(r'("--password") "[^"]*"')
_VERDICT = re.compile(r"CRITICAL ?: (?:Ignition failed: )?")
_MISSING_HINT = "install Debian's package ignition, or name the binary"


@dataclass(frozen=True)
class Scratch:
    """The files of one run, all below a folder of its own that goes with it."""

    folder: Path

    @property
    def config(self) -> Path:
        """What the file platform reads."""
        return self.folder / "config.ign"

    @property
    def cache(self) -> Path:
        """What the fetch stage leaves for the others: the config with its children merged, as JSON."""
        return self.folder / "cache.json"

    @property
    def sysroot(self) -> Path:
        """Where Ignition finds the root, whatever its place is.

        Ignition writes SSH keys as the user they are for, who must be able to come here: the folders above the root may be
        the caller's alone.
        """
        return self.folder / "sysroot"

    def prepare(self, config: bytes) -> None:
        """Write the config, and the programs and folders that Ignition expects of an initrd."""
        self.config.touch(mode=0o600)
        self.config.write_bytes(config)
        self.folder.chmod(0o711)
        for name in ("base", "bin", "sysroot"):
            (self.folder / name).mkdir()
        # Debian's Ignition relabels what it wrote for SELinux, wherever it runs; a directory has no labels.
        setfiles = self.folder / "bin" / "setfiles"
        setfiles.write_text("#!/bin/sh\n")
        setfiles.chmod(0o755)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder}/bin:{_SEARCH_PATH}",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.folder),
            "IGNITION_CONFIG_FILE": str(self.config),
            # A host that was itself provisioned by Ignition has configs in /usr/lib/ignition.
            "IGNITION_SYSTEM_CONFIG_DIR": str(self.folder / "base"),
        }


@dataclass(frozen=True)
class Engine:
    """An Ignition binary. `spec` is the newest stable spec that it takes."""

    path: Path
    release: str
    spec: Spec

    @classmethod
    def find(cls, path: Path | None = None) -> "Engine":
        """Return the binary at `path`, or the first in PLACES. Raises EngineMissing."""
        candidates = PLACES if path is None else (path,)
        found = next((place for place in candidates if place.is_file() and os.access(place, os.X_OK)), None)
        if found is None:
            raise EngineMissing(f"no Ignition here: tried {', '.join(map(str, candidates))}", hint=_MISSING_HINT)
        try:
            done = subprocess.run((found, "--version"), capture_output=True, text=True, timeout=20, check=True, env={})
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            raise EngineMissing(f"{found} --version: {error}", hint=_MISSING_HINT) from error
        return cls(found, done.stdout.strip(), _newest_spec(done.stdout))

    def run(self, stage: str, root: Path, scratch: Scratch, deadline: float) -> tuple[str, ...]:
        """Run a stage against a directory and return its log. `deadline` is on time.monotonic's clock.

        The stage can write below `root` and `scratch` only: see ignition.stages.confine. Raises EngineFailed and ApplyError.
        """
        left = max(deadline - time.monotonic(), 0.001)
        argv = [str(self.path), "--platform=file", f"--stage={stage}", f"--root={scratch.sysroot}", "--log-to-stdout"]
        argv += [f"--config-cache={scratch.cache}", f"--state-file={scratch.folder}/state", f"--fetch-timeout={left:.3f}s"]
        writable = (scratch.folder, scratch.folder, root, scratch.sysroot)
        with subprocess.Popen(
            (sys.executable, "-I", "-S", confine.__file__, *writable, "--", *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=scratch.folder,
            env=scratch.environment(),
            start_new_session=True,
            umask=0o022,
        ) as child:
            try:
                out, err = child.communicate(timeout=left)
            except subprocess.TimeoutExpired as expired:
                _kill(child)
                journal = _journal(child.communicate()[0], root, scratch)
                hint = "Ignition tries servers that do not answer for ever" if stage == "fetch" else ""
                raise EngineFailed(f"stage {stage}: no end in time", hint=hint, journal=journal) from expired
            except BaseException:
                _kill(child)
                raise
        if child.returncode == confine.REFUSED:
            hint = "needs Linux 5.12, and CAP_SYS_ADMIN or user namespaces"
            raise ApplyError(f"cannot shield this machine from Ignition: {_text(err).strip()}", hint=hint)
        journal = _journal(out, root, scratch)
        if child.returncode:
            raise EngineFailed(f"stage {stage}: {_verdict(journal, _text(err), child.returncode)}", journal=journal)
        return journal


def _newest_spec(version: str) -> Spec:
    """Return the newest spec of a release; a build from a branch has no release in its version and is as new as can be."""
    release = _RELEASE.search(version)
    if release is None:
        return NEWEST
    return max(spec for spec in SPECS if int(spec.release.partition(".")[2]) <= int(release[1]))


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The leader has not been waited for, so its group cannot be somebody else's.
    os.killpg(child.pid, signal.SIGKILL)


def _journal(output: bytes, root: Path, scratch: Scratch) -> tuple[str, ...]:
    """Return the lines of a log with the paths that its reader knows, and without password hashes."""
    text = _text(output).replace(str(scratch.sysroot), str(root))
    return tuple(_HASH.sub(r'\1 "..."', line) for line in text.splitlines())


def _verdict(journal: tuple[str, ...], stderr: str, code: int) -> str:
    """Return why a stage failed: its last critical line, else the end of stderr, which is where Go panics."""
    critical = next((line for line in reversed(journal) if _VERDICT.match(line)), None)
    if critical is not None:
        return _VERDICT.sub("", critical, count=1)
    return stderr.strip()[-2000:] or f"exit {code}"


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
