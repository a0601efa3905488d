import os
import signal
import sys
import threading
import time
from pathlib import Path

from imaging_fhir.kept_process import KeptProcess


def test_a_process_that_dies_is_started_again_until_it_is_to_stop(tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = (
        f"import os, sys; open({str(started)!r}, 'a').write(f'{{os.getpid()}}\\n'); "
        "sys.stdin.read()"
    )
    kept = KeptProcess((sys.executable, "-c", script))
    thread = threading.Thread(target=kept.run)
    thread.start()
    (first,) = pids(started, 1)
    os.kill(first, signal.SIGKILL)
    again = pids(started, 2)[1]
    assert again != first
    kept.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert not Path(f"/proc/{again}").exists()
    kept.stop()  # a second time does no harm


def pids(started: Path, count: int) -> list[int]:
    for _ in range(1000):
        lines = started.read_text().splitlines() if started.exists() else []
        if len(lines) >= count:
            return list(map(int, lines))
        time.sleep(0.02)
    raise AssertionError("it was not started")
