"""What the telemetry costs: the sampler thread's share of one CPU, at both rates, over the stub driver library.

Run it as a script: `python tests/benchmarks/sampler_cost.py [seconds per case]`. With a real driver on the machine,
`--real` measures that one instead. Nothing is asserted: the figures depend on the machine.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_STUB = Path(__file__).parents[1] / "telemetry" / "nvml_stub.c"
_ROOT = Path(__file__).parents[2]


def measure(hz: float, seconds: float) -> str:
    """One case, in this process, as a line of the table."""
    from infertui.telemetry.sampler import Sampler

    sampler = Sampler(hz=hz)
    sampler.start()
    sampler.wait_ready()
    cpu_s, busy_s, start = sampler.cpu_s, sampler.busy_s, time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    cpu_s, busy_s = sampler.cpu_s - cpu_s, sampler.busy_s - busy_s
    gpus, samples = len(sampler.gpus), len(sampler.window(0, time.monotonic_ns()))
    sampler.stop()
    per_sample_us = cpu_s / max(1, samples) * 1e6
    shares = f"{100 * cpu_s / elapsed:8.3f} {100 * busy_s / elapsed:10.3f}"
    return f"{gpus:4} {hz:5.0f} {samples:8} {shares} {per_sample_us:14.0f}"


def main() -> None:
    """Measure every case in a process of its own, as the driver library is loaded once per process."""
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if "--case" in sys.argv:
        sys.stdout.write(measure(float(arguments[0]), float(arguments[1])) + "\n")
        return
    seconds = arguments[0] if arguments else "10"
    sys.stdout.write("GPUs    Hz  samples  CPU in %  busy in %  CPU us/sample\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        environ = dict(os.environ) | {"PYTHONPATH": str(_ROOT)}
        counts = ["0"]
        if "--real" not in sys.argv:
            compiler = shutil.which("cc") or "gcc"
            library = Path(folder) / "libnvidia-ml.so.1"
            subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-pthread", "-o", library, _STUB], check=True)
            environ["LD_LIBRARY_PATH"] = folder
            counts = ["1", "8"]
        for gpus in counts:
            for hz in ("1", "10"):
                case = [sys.executable, __file__, "--case", hz, seconds]
                subprocess.run(case, env=environ | {"NVML_STUB_GPUS": gpus}, check=True)


if __name__ == "__main__":
    main()
