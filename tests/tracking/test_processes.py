"""Which processes count as alive."""

import subprocess
import sys

import psutil

from quartet.tracking.processes import is_alive, named, this_process


def test_a_process_is_alive_until_it_ends_even_if_nobody_waits_for_it():
    assert is_alive(this_process()) and not is_alive("") and not is_alive(f"{psutil.Process().pid} started 0.00")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = named(psutil.Process(child.pid))
    assert is_alive(name)
    child.kill()
    child.stdin.close()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert not is_alive(name)
    child.wait()
    assert not is_alive(name)
