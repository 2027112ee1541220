"""Windows without WSL, by stand-ins: no fork, no fcntl, no resource, no signal that kills."""

from __future__ import annotations

import os
import subprocess
import sys

# what Windows lacks is gone before anything of ours is imported, and what it has instead is there
AS_ON_WINDOWS = """
import sys, types, signal, os
import torch, diffusers, peft, psutil  # which know the machine that they are on
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
locked = set()
def locking(number, how, count):
    place = (os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR))
    assert how == msvcrt.LK_NBLCK and count == 1 and place[1] > os.fstat(number).st_size
    if place in locked:
        raise PermissionError(13, "Permission denied")
    locked.add(place)
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, locking
sys.modules["msvcrt"] = msvcrt
del signal.SIGKILL, signal.SIGXCPU, signal.pthread_kill, os.killpg, os.fork, os.sched_getaffinity
sys.platform = "win32"
"""


def on_windows(script: str) -> str:
    # other tests settle torch's allocator in this process
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTORCH_")}
    done = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS + script], capture_output=True, text=True, env=around
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_trains_and_draws_is_imported_locks_hold_and_a_cancel_is_heard() -> None:
    said = on_windows("""
import tempfile, threading, time
from pathlib import Path
import fluxbooth.training.loop, fluxbooth.generation.generate
from fluxbooth import hardware, locks, process_lifetime, threads
from fluxbooth.engine import device_pool, device_process
path = Path(tempfile.mkdtemp()) / "run.json"
with locks.held(path, 0.0):
    assert locks.held(path, 0.0) is None
process_lifetime.die_with_parent(process_lifetime.KILL)
hardware.settle_allocator()
assert "PYTORCH_CUDA_ALLOC_CONF" not in os.environ
print(process_lifetime.KILL == signal.SIGTERM, len(threads.our_cores()) > 0)
threading.Timer(0.05, device_process._interrupt_main).start()
try:
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted")
""")
    assert said.splitlines() == ["True True", "interrupted"]
