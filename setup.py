"""Build of the extension module `bertsent._core`.

Switches, all environment variables:

BERTSENT_DEV=1          warnings are errors, debug symbols
BERTSENT_SANITIZE=1     AddressSanitizer and UndefinedBehaviorSanitizer
BERTSENT_SYSTEM_BLAS=1  link the system's OpenBLAS instead of bundling one
"""

import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

if sys.platform == "win32":
    sys.exit("bertsent: Windows is not supported; use WSL, where the Linux build works.")

ROOT = Path(__file__).resolve().parent
MACOS = sys.platform == "darwin"
X86_64 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32


def switch(name):
    return os.environ.get(name, "").lower() not in ("", "0", "no", "false", "off")


DEV = switch("BERTSENT_DEV")
SANITIZE = switch("BERTSENT_SANITIZE")
SYSTEM_BLAS = switch("BERTSENT_SYSTEM_BLAS")

# The bundled library must never be mistaken for NumPy's or SciPy's copy: the loader identifies
# a library by its SONAME, so ours is unique. It must be no longer than the one it replaces.
BLAS_FILE = "libbertsent_blas.dylib" if MACOS else "libbertsent_blas.so"
BLAS_LICENSE = "OPENBLAS-LICENSE.txt"

AVX2 = ["-mavx2", "-mfma", "-mf16c", "-ffp-contract=fast"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
# Only these files may hold such instructions; they are entered after a check of the CPU.
ISA_FLAGS = {
    "_avx2": AVX2,
    "_avx512": AVX2 + AVX512,
    "_avx512vnni": AVX2 + AVX512 + ["-mavx512vnni"],
    "_avx512bf16": AVX2 + AVX512 + ["-mavx512vnni", "-mavx512bf16"],
    "_amx": AVX2 + AVX512 + ["-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-bf16",
                             "-mamx-int8", "-mprfchw"],
}


def isa_suffix(path):
    """Return the instruction-set suffix of a source file's name, or None."""
    stem = Path(path).stem
    return next((suffix for suffix in ISA_FLAGS if stem.endswith(suffix)), None)


def sources():
    files = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "csrc").rglob("*.c"))
    return [f for f in files if X86_64 or isa_suffix(f) is None]


def headers():
    return sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "csrc").rglob("*.h"))


def compile_flags():
    flags = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    flags += ["-pthread"]
    flags += ["-Wall", "-Wextra", "-Werror"] if DEV else []
    if SANITIZE:
        flags += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        flags += ["-fno-sanitize-recover=undefined"]
    else:
        flags += ["-O3", "-g" if DEV else "-g0"]
    return flags


def link_flags():
    flags = ["-pthread", "-lm"]
    if SANITIZE:
        flags += ["-fsanitize=address,undefined"]
    return flags


def set_elf_soname(path, name):
    """Overwrite the SONAME of a 64-bit little-endian ELF library in place."""
    image = bytearray(path.read_bytes())
    if image[:6] != b"\x7fELF\x02\x01":
        raise LinkError(f"{path}: not a 64-bit little-endian ELF library")
    (ph_offset,) = struct.unpack_from("<Q", image, 32)
    ph_size, ph_count = struct.unpack_from("<HH", image, 54)
    segments = [struct.unpack_from("<IIQQQQ", image, ph_offset + i * ph_size)
                for i in range(ph_count)]
    # (type, flags, offset, vaddr, paddr, filesz); 1 = PT_LOAD, 2 = PT_DYNAMIC
    dyn_offset, dyn_size = next((s[2], s[5]) for s in segments if s[0] == 2)
    tags = {}
    for at in range(dyn_offset, dyn_offset + dyn_size, 16):
        tag, value = struct.unpack_from("<qQ", image, at)
        if tag == 0:
            break
        tags.setdefault(tag, value)
    if 14 not in tags or 5 not in tags:  # DT_SONAME, DT_STRTAB
        raise LinkError(f"{path}: has no SONAME")
    strtab = next(tags[5] - s[3] + s[2] for s in segments
                  if s[0] == 1 and s[3] <= tags[5] < s[3] + s[5])
    begin = strtab + tags[14]
    room = image.index(0, begin) - begin
    new = name.encode()
    if len(new) > room:
        raise LinkError(f"{path}: no room for the SONAME {name!r} in {room} bytes")
    image[begin : begin + room] = new.ljust(room, b"\0")
    path.write_bytes(image)


class Blas:
    """Where the BLAS comes from and what its use needs in the compile and link lines."""

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
    """Copy OpenBLAS of the scipy-openblas32 package into `libs` under a name of our own."""
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
        set_elf_soname(fresh, BLAS_FILE)
    if target.exists() and target.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        fresh.replace(target)  # a new inode: a process that has the old one mapped keeps it

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
    # That breaks the signature, which arm64 macOS requires.
    subprocess.check_call(["codesign", "--force", "--sign", "-", str(path)])


class BuildExt(build_ext):
    """Compiles each file with the flags of its instruction set and bundles OpenBLAS."""

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
        objects = [self.compile_one(ext, source, macros, include, flags)
                   for source in ext.sources]
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=blas.link + link_flags(),
            export_symbols=self.get_export_symbols(ext), build_temp=self.build_temp,
            target_lang="c")

    def compile_one(self, ext, source, macros, include, flags):
        """Compile one file unless its object is newer than all it was made from."""
        flags = flags + ISA_FLAGS.get(isa_suffix(source), [])
        if "/python/" in source:  # method tables and slots leave fields and arguments unused
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
            define_macros=[("BS_X86", "1")] if X86_64 else [],
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
