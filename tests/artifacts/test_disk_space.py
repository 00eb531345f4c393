"""A disk that is full for real: a small file system in memory, in a name space of its own."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from quartet.artifacts.disk_space import NoRoom, naming_full_disks

TOP = Path(__file__).parents[2]
ON_A_SMALL_DISK = "mount -t tmpfs -o size=256k none small && cd small && cp ../params.yaml . && "
BUILDS = {
    "download text": "python -m stages.download text",
    "preprocess images": "python -m stages.download images && python -m stages.preprocess images",
}


@pytest.mark.parametrize("stage", BUILDS)
def test_a_full_disk_is_said_with_the_path_and_what_it_needs(tmp_path, stage):
    (tmp_path / "small").mkdir()
    (tmp_path / "params.yaml").write_text("preprocess: {images: {size: 64}}")
    environment = {**os.environ, "PYTHONPATH": str(TOP), "DVC_ROOT": str(tmp_path), "QUARTET_TRACKING": "off"}
    where = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        if subprocess.run([*alone, f"{ON_A_SMALL_DISK} true"], **where).returncode:
            pytest.skip("no file system can be mounted here")
    except FileNotFoundError:
        pytest.skip("this system has no name spaces")
    done = subprocess.run([*alone, ON_A_SMALL_DISK + BUILDS[stage]], **where)
    (line,) = [line for line in done.stderr.splitlines() if "No space left" in line]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert line.startswith(f"{stage}: data/") and "it takes" in line and "are free in" in line


def test_other_errors_of_the_system_pass(tmp_path):
    with pytest.raises(PermissionError), naming_full_disks(tmp_path / "a", 5):
        raise PermissionError(errno.EACCES, "no")
    full = naming_full_disks(tmp_path / "a", 2048)
    with pytest.raises(NoRoom, match=r"a: .*: it takes 2\.0 KiB, and .* are free in"), full:
        raise OSError(errno.ENOSPC, "full")
