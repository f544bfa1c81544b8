"""What one core of this machine can do at most, measured by ``peak.c``."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# The peak that each table of kernels works against, by precision.
OF_TABLE = {
    "avx2": {"float32": "avx2_fp32", "int8": "avx2_int8"},
    "avx512": {"float32": "avx512_fp32"},
    "avx512_vnni": {"float32": "avx512_fp32", "int8": "avx512_vnni"},
    "avx512_bf16": {"float32": "avx512_fp32", "int8": "avx512_vnni", "bfloat16": "avx512_bf16"},
    "amx": {"float32": "avx512_fp32", "int8": "amx_int8", "bfloat16": "amx_bf16"},
}


def measure():
    """Rates in 10**9 a second: multiply-adds count twice, copied bytes read and written."""
    source = Path(__file__).resolve().parent / "peak.c"
    flags = Path("/proc/cpuinfo").read_text().split()
    settings = os.environ | ({"PEAK_AMX": "1"} if "amx_bf16" in flags else {})
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "peak"))
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O3", "-o", program, str(source)], check=True)
        found = json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE,
                                          env=settings).stdout)
    print("peaks of one core, 1e9/s:", json.dumps(found), file=sys.stderr)
    return found


def limit(peaks, table, precision):
    """The peak of a table's products in one precision, in operations a second, or None."""
    found = peaks.get(OF_TABLE.get(table, {}).get(precision))
    return None if found is None else found * 1e9
