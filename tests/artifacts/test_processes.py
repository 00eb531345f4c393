"""Which processes count as alive."""

import subprocess
import sys
import time

import psutil

from quartet.artifacts.processes import find_process, is_alive, this_process


def test_a_process_is_alive_until_it_ends_even_if_nobody_waits_for_it():
    assert is_alive(this_process()) and not is_alive("") and not is_alive(f"{psutil.Process().pid} started 0.00")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{child.pid} started {psutil.Process(child.pid).create_time():.2f}"
    assert is_alive(name) and find_process(child.pid).pid == child.pid
    child.kill()
    child.stdin.close()
    for _ in range(1000):
        if psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.01)
    assert psutil.pid_exists(child.pid) and find_process(child.pid) is None and not is_alive(name)
    child.wait()
    assert find_process(child.pid) is None and not is_alive(name)
