"""The peak rates of one core of this machine, measured with ``peak.c``."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# The peak with which each table of kernels is compared, by precision.
OF_TABLE = {
    "avx2": {"float32": "avx2_fp32", "int8": "avx2_int8"},
    "avx512": {"float32": "avx512_fp32"},
    "avx512_vnni": {"float32": "avx512_fp32", "int8": "avx512_vnni"},
    "avx512_bf16": {"float32": "avx512_fp32", "int8": "avx512_vnni", "bfloat16": "avx512_bf16"},
    "amx": {"float32": "amx_bf16", "int8": "amx_int8", "bfloat16": "amx_bf16"},
}
# Products of that kind per result: fp32 in three parts of bfloat16 takes six.
PRODUCTS = {("amx", "float32"): 6}


class Peaks:
    """Compiles and runs ``peak.c``.

    Attributes
    ----------
    rates : dict
        In 10**9 per second. A multiply-add counts as two operations; a copied byte counts as
        read and written.
    """

    def __init__(self):
        flags = Path("/proc/cpuinfo").read_text().split()
        self._settings = os.environ | ({"PEAK_AMX": "1"} if "amx_bf16" in flags else {})
        self._folder = tempfile.TemporaryDirectory()
        self._program = str(Path(self._folder.name, "peak"))
        source = Path(__file__).resolve().parent / "peak.c"
        subprocess.run([os.environ.get("CC", "cc"), "-O3", "-o", self._program, str(source)],
                       check=True)
        self.rates = json.loads(subprocess.run(
            [self._program], check=True, stdout=subprocess.PIPE, env=self._settings).stdout)
        print("peaks of one core, 1e9/s:", json.dumps(self.rates), file=sys.stderr)

    def limit(self, table, precision):
        """Return the peak of a table's products in operations per second, or None."""
        found = self.rates.get(OF_TABLE.get(table, {}).get(precision))
        return None if found is None else found * 1e9 / PRODUCTS.get((table, precision), 1)

    @contextlib.contextmanager
    def sampler(self, table, precision):
        """Return a function that measures this peak for some hundredths of a second."""
        process = subprocess.Popen(
            [self._program, OF_TABLE[table][precision]], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=self._settings)

        def sample():
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline()) * 1e9 / PRODUCTS.get((table, precision), 1)

        try:
            yield sample
        finally:
            process.stdin.close()
            process.wait()
