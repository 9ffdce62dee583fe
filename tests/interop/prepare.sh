# What tests/interop/run and tests/interop/drill share: the cache, and the Collector in it.
# shellcheck shell=bash

COLLECTOR_VERSION=v0.160.0
: "${HERE:=}"
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${INTEROP_CACHE:-$ROOT/target/interop}
mkdir -p "$CACHE"
CACHE=$(cd "$CACHE" && pwd)
GO_BIN=$CACHE/go/bin
# shellcheck disable=SC2034  # read by those who source this
OTELCOL=$CACHE/collector/otelcol/otelcol

say() { printf '%s\n' "interop: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# install_missing PROGRAM PACKAGE...: takes a missing program from apt where that is possible.
install_missing() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt-get update -qq >&2 && apt-get install -y -qq "$@" >&2 || true
    fi
    command -v "$program" >/dev/null || fail "$program is not installed; these tests need it"
}

# cached NAME FINGERPRINT COMMAND...: runs the command unless it succeeded for this fingerprint.
cached() {
    local stamp=$CACHE/$1.stamp fingerprint=$2 name=$1 start=$SECONDS
    shift 2
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$fingerprint" ] && return
    rm -f "$stamp"
    say "preparing $name"
    "$@" >"$CACHE/$name.log" 2>&1 || {
        tail -n 20 "$CACHE/$name.log" >&2
        fail "cannot prepare $name; the whole output is in $CACHE/$name.log"
    }
    printf '%s' "$fingerprint" >"$stamp"
    say "$name took $((SECONDS - start)) s"
}

checksum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

make_collector() {
    rm -rf "$CACHE/collector"
    mkdir -p "$CACHE/collector"
    GOBIN=$GO_BIN go install "go.opentelemetry.io/collector/cmd/builder@$COLLECTOR_VERSION"
    (cd "$CACHE/collector" && CGO_ENABLED=0 "$GO_BIN/builder" --config "$HERE/collector/builder.yaml")
}

prepare_collector() {
    install_missing go golang-go
    cached collector "$COLLECTOR_VERSION $(checksum "$HERE/collector/builder.yaml")" make_collector
}
