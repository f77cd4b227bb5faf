#!/bin/sh
# Finds the Python to build with and checks that the machine can build with it.
#   check_machine.sh [PYTHON]     (default: the first of python3, python3.14, ... that is new enough)
# Prints the interpreter. Where something is missing it says what to install, and exits with 1.

fail() {
    printf '%s\n' "gopark cannot be built here yet: $1" "$2" >&2
    exit 1
}

runs() { # is $1 an interpreter that starts?
    "$1" -c '' >/dev/null 2>&1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

ask() { # the value of a Python expression
    "$python" -c "import sys, sysconfig; print($1)"
}

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found." \
        "Install one (Debian, Ubuntu: apt install python3 python3-venv python3-dev; Fedora: dnf install python3-devel; macOS: brew install python3), or name yours: make PYTHON=/path/to/python3"
}

if [ -n "${1-}" ]; then
    python=$1
    runs "$python" || fail "'$python' is not a Python that runs." "Name another: make PYTHON=/path/to/python3"
    is_new_enough "$python" || fail "$python is Python $(ask 'sys.version.split()[0]'), too old." \
        "Name a Python 3.11 or newer: make PYTHON=/path/to/python3"
else
    python=$(find_python) || exit 1
fi
version=$(ask '"%d.%d" % sys.version_info[:2]')

"$python" -c 'import venv, ensurepip' 2>/dev/null || fail \
    "$python has no venv module (or no ensurepip, which it needs)." \
    "Install it (Debian, Ubuntu: apt install python$version-venv)."

# The compiler that the interpreter's own build settings name, unless CC names another.
cc=${CC:-$(ask 'sysconfig.get_config_var("CC") or "cc"')}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
echo 'int main(void) { return 0; }' >"$scratch/main.c"
# $cc is a command with its options: it has to be split.
# shellcheck disable=SC2086
$cc "$scratch/main.c" -o "$scratch/main" 2>"$scratch/errors" || fail \
    "the C compiler '$cc' does not work ($(head -n 1 "$scratch/errors"))." \
    "Install one (Debian, Ubuntu: apt install build-essential; Fedora: dnf install gcc; macOS: xcode-select --install), or name yours: make CC=/path/to/cc"

headers=$(ask 'sysconfig.get_path("include")')
[ -f "$headers/Python.h" ] || fail "the header files of $python are missing (no $headers/Python.h)." \
    "Install them (Debian, Ubuntu: apt install python$version-dev; Fedora: dnf install python3-devel)."

echo "$python"
