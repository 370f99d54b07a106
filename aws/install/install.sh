#!/usr/bin/env bash
# Prepares an Ubuntu machine for training: CARLA and its additional maps, and a virtual environment with this
# project's requirements. Safe to run twice. Usage: install.sh [--embedded] [--requirements FILE]
set -euo pipefail

CARLA_VERSION="${CARLA_VERSION:-0.9.16}"
CARLA_BASE_URL="${CARLA_BASE_URL:-https://tiny.carla.org}"
CARLA_URL="${CARLA_URL:-$CARLA_BASE_URL/carla-${CARLA_VERSION//./-}-linux}"
CARLA_MAPS_URL="${CARLA_MAPS_URL:-$CARLA_BASE_URL/additional-maps-${CARLA_VERSION//./-}-linux}"
CARLA_HOME="${CARLA_HOME:-$HOME/carla-$CARLA_VERSION}"
VENV="${VENV:-$HOME/carla_rllib_venv}"
PYTHON="${PYTHON:-python3}"
REQUIREMENTS="${REQUIREMENTS:-}"
EMBEDDED=no

while [ $# -gt 0 ]; do
    case "$1" in
        --embedded) EMBEDDED=yes ;;
        --requirements)
            [ $# -ge 2 ] || { echo "install.sh: --requirements needs a file" >&2; exit 2; }
            REQUIREMENTS="$2"
            shift
            ;;
        *)
            echo "install.sh: unknown option '$1'; there are --embedded and --requirements FILE" >&2
            exit 2
            ;;
    esac
    shift
done

if [ "$(id -u)" -eq 0 ]; then SUDO=(); else SUDO=(sudo); fi

install_packages() {
    # A machine that boots for the first time may still be updating itself: apt waits for its lock.
    local apt=("${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -q)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends python3 python3-venv rsync wget ca-certificates "$@"
}

unpack() { # URL FOLDER: downloads to a file of its own first, so that a broken download is never unpacked
    local archive
    archive="$(mktemp --suffix .tar.gz)"
    wget --no-verbose --tries=5 --continue -O "$archive" "$1"
    mkdir -p "$2"
    tar -xzf "$archive" -C "$2"
    rm -f "$archive"
}

install_carla() {
    if [ -f "$CARLA_HOME/.complete" ]; then
        echo "CARLA $CARLA_VERSION is already in $CARLA_HOME."
        return
    fi
    unpack "$CARLA_URL" "$CARLA_HOME"
    unpack "$CARLA_MAPS_URL" "$CARLA_HOME"
    test -f "$CARLA_HOME/CarlaUE4.sh"
    touch "$CARLA_HOME/.complete"
}

print_requirements() { # PYTHON PYPROJECT: what training needs, as the project itself says it
    "$1" - "$2" <<'PROGRAM'
import sys

try:
    import tomllib
except ImportError:  # before Python 3.11
    from pip._vendor import tomli as tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"]["train"]]))
PROGRAM
}

find_project() { # pyproject.toml: beside this script, where aws_helper.py puts it, or in the repository
    local folder
    folder="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
    for file in "$folder/pyproject.toml" "$folder/../../pyproject.toml"; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
    echo "install.sh: there is no pyproject.toml in $folder; give --requirements FILE" >&2
    exit 2
}

install_python() {
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --upgrade pip
    if [ -n "$REQUIREMENTS" ]; then
        "$VENV/bin/pip" install --quiet -r "$REQUIREMENTS"
    else
        local project file
        project="$(find_project)"
        file="$(mktemp)"
        print_requirements "$VENV/bin/python" "$project" >"$file"
        [ "$EMBEDDED" = yes ] || echo "carla==$CARLA_VERSION" >>"$file"  # client and server have to be of one version
        "$VENV/bin/pip" install --quiet -r "$file"
        rm -f "$file"
    fi
}

write_environment() { # for login shells (.profile) and for all others (.bashrc, before it leaves non-interactive ones)
    local settings="$HOME/.carla_rllib_env" file
    {
        [ "$EMBEDDED" = yes ] || printf 'export CARLA_ROOT=%q\n' "$CARLA_HOME"
        # shellcheck disable=SC2016  # $PATH is for the shell that reads the file
        printf 'export PATH=%q:"$PATH"\n' "$VENV/bin"
        printf 'export RAY_AUTH_MODE=disabled\n'
    } >"$settings"
    for file in "$HOME/.profile" "$HOME/.bashrc"; do
        touch "$file"
        grep -qF '.carla_rllib_env' "$file" || sed -i "1i . \"\$HOME/.carla_rllib_env\"" "$file"
        grep -qF '.carla_rllib_env' "$file" || echo ". \"\$HOME/.carla_rllib_env\"" >>"$file"
    done
}

if [ "$EMBEDDED" = yes ]; then
    install_packages
else
    install_packages libomp5 libvulkan1 vulkan-tools xdg-user-dirs
    install_carla
fi
install_python
write_environment
"$VENV/bin/python" -c 'import carla, ray, torch; print("carla", "ray", ray.__version__, "torch", torch.__version__)'
echo "Done."
