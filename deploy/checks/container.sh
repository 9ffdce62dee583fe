# Checks of the image: built and run without a daemon. Sourced by deploy/check.
# shellcheck shell=bash
: "${work:=}"

need_engine() {
    need_root
    need_dist
    need_debian buildah buildah podman podman runc runc catatonit catatonit nsenter util-linux
    mkdir -p "$work/engine"
    # Where the limits of processes cannot be raised, none are asked for.
    printf '[containers]\ndefault_ulimits = []\n' > "$work/engine/containers.conf"
    export CONTAINERS_CONF=$work/engine/containers.conf
    ENGINE=$work/engine
}

# vfs and cgroupfs work without a daemon, an overlay file system and systemd.
store=(--storage-driver vfs)
image() { buildah --root "$ENGINE/root" --runroot "$ENGINE/run" "${store[@]}" "$@"; }
pods() {
    podman --root "$ENGINE/root" --runroot "$ENGINE/run" "${store[@]}" --runtime runc --cgroup-manager cgroupfs "$@"
}
stop_containers() {
    [ -z "${ENGINE:-}" ] || pods rm --all --force --time 0 > /dev/null 2>&1
}

# What an image may take on disk, everything in it. 0.7 MB of it are tables of a library for checksums that no bucket
# of ours uses, and 1 MB is glibc.
IMAGE_BYTES_MAX=20000000

# Both images, from the programs in dist/.
build_images() {
    local target
    for target in gs-ctl gophership; do
        image build --isolation chroot --pull-never --format docker --quiet --file deploy/container/Dockerfile \
            --build-arg BINARIES=prebuilt --build-arg TARGETARCH=amd64 --build-arg SOURCE_DATE_EPOCH=0 --target $target --tag "localhost/$target:check" . > "$work/built"
    done
}

check_image() {
    need_engine
    build_images
    local target bytes
    for target in gophership gs-ctl; do
        pods save --quiet --format oci-archive --output "$work/$target.tar" "localhost/$target:check"
        bytes=$(pods image inspect --format '{{.Size}}' "localhost/$target:check")
        echo "$target: $bytes bytes, $(stat -c %s "$work/$target.tar") as an archive"
        [ "$bytes" -lt $IMAGE_BYTES_MAX ]
    done
    [ "$(pods image inspect --format '{{.Config.User}}' localhost/gophership:check)" = 65532:65532 ]
    pods image inspect localhost/gophership:check > "$work/inspected"
    grep -q '"healthcheck"' "$work/inspected"
    # Nothing but what the Dockerfile puts there: no shell, no library.
    pods create --name files localhost/gophership:check > /dev/null
    pods export files | tar t | grep -v '/$' | sort > "$work/files"
    cat "$work/files"
    grep -qx usr/bin/gophership "$work/files"
    if grep -qE '\.so|bin/sh' "$work/files"; then
        return 1
    fi
}

# A container as a careful operator runs it, in a network of its own. More options, and the image's arguments
# behind `--`, follow.
# Without systemd podman cannot run the health check by itself; the checks run it by hand.
hardened=(--read-only --cap-drop all --security-opt no-new-privileges --network none --no-healthcheck)

# The network of a container, for programs beside it.
network() {
    echo "--net=/proc/$(pods inspect --format '{{.State.Pid}}' "$1")/ns/net"
}

# The figures of a program in a container: its process as the kernel sees it.
check_process() {
    local status
    status=/proc/$(pods inspect --format '{{.State.Pid}}' "$1")/status
    grep -E '^(NSpid|Uid|CapEff|NoNewPrivs|Seccomp|VmRSS):' "$status" | tr '\n' ' '
    echo
    grep -q '^Uid:.65532.65532' "$status"
    grep -q '^CapEff:.0000000000000000' "$status"
    grep -q '^NoNewPrivs:.1' "$status"
    # PID 1 in its own space, without an init above it.
    grep -qE '^NSpid:.*[[:space:]]1$' "$status"
}

# A backend that keeps what it gets: a GopherShip with a file.
start_backend() {
    cat > "$work/backend.yaml" << YAML
data_dir: $work/backend
sources: { otlp: { type: otlp, grpc: { listen: "127.0.0.1:14317" } } }
sinks: { file: { type: file, inputs: [otlp], path: "$work/backend/{signal}.jsonl" } }
metrics: { listen: off }
YAML
    local network
    network=$(network "$1")
    nsenter "$network" dist/gophership run --config "$work/backend.yaml" 2>> "$work/backend.log" &
    BACKEND_ID=$!
    STARTED+=("$BACKEND_ID")
    eventually nsenter "$network" "$BIN/python" -c 'import socket; socket.create_connection(("127.0.0.1", 14317), 1)' ||
        { cat "$work/backend.log"; return 1; }
}

# Whether the backend has every record below a number.
has_all() {
    "$BIN/python" deploy/checks/records.py "$1" "$work/backend/logs.jsonl"
}

check_container() {
    need_engine
    need_python opentelemetry-sdk opentelemetry-exporter-otlp-proto-grpc
    build_images
    cat > "$work/gophership.yaml" << 'YAML'
data_dir: /var/lib/gophership
sources: { otlp: { type: otlp, grpc: { listen: "127.0.0.1:4317" }, pivot: vault } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://127.0.0.1:14317" }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 16MiB }
shutdown: { grace: 20s }
YAML
    chmod 755 "$work"
    local run=(run --detach "${hardened[@]}" --memory 64m --volume gophership-data:/var/lib/gophership
        --volume "$work/gophership.yaml:/etc/gophership/gophership.yaml:ro" localhost/gophership:check)
    control() {
        pods run --rm "${hardened[@]}" --volume gophership-data:/var/lib/gophership localhost/gs-ctl:check "$@"
    }
    send() { nsenter "$(network "$1")" "$BIN/python" deploy/checks/send.py "$2" "$3"; }

    pods "${run[@]:0:2}" --name first "${run[@]:2}" > /dev/null
    eventually pods exec first /usr/bin/gophership healthcheck
    check_process first
    # 40% of the limit.
    control config show | grep 'budget: 25MiB'
    pods logs first 2>&1 | tail -n 3
    start_backend first
    echo "an SDK sends 1,000 records"
    send first 0 1000
    eventually has_all 1000
    echo "red: the vault takes 1,000 more"
    control override --zone red
    pods exec first /usr/bin/gophership healthcheck
    send first 1000 2000
    if has_all 2000; then
        echo "the backend has what is to be in the vault"
        return 1
    fi
    control override --zone auto
    eventually has_all 2000
    echo "the backend is gone: 1,000 more, and then SIGTERM"
    kill -9 "$BACKEND_ID"
    send first 2000 3000
    local started=$SECONDS
    pods stop --time 30 first > /dev/null
    echo "stopped after $((SECONDS - started)) s with $(pods inspect --format '{{.State.ExitCode}}' first)"
    [ $((SECONDS - started)) -lt 10 ]
    [ "$(pods inspect --format '{{.State.ExitCode}}' first)" = 0 ]
    [ "$(pods inspect --format '{{.State.OOMKilled}}' first)" = false ]
    pods logs first 2>&1 | tail -n 4
    pods "${run[@]:0:2}" --name second "${run[@]:2}" > /dev/null
    start_backend second
    eventually has_all 3000
    pods stop --time 30 second > /dev/null
    [ "$(pods inspect --format '{{.State.ExitCode}}' second)" = 0 ]
    has_all 3000
}

# The drill inside the image, in 64 MiB with its clients and its backend. This is about records and memory: the machine that checks may be busy, so 99 of 100 answers may take
# 50 ms instead of 10.
check_drill() {
    need_engine
    build_images
    cat > "$work/drill.yaml" << 'YAML'
data_dir: /var/lib/gophership/data
sources: { otlp: { type: otlp } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://127.0.0.1:14317" }
  vault: { type: raw_vault, max_size: 4GiB }
YAML
    chmod 755 "$work"
    pods run --rm "${hardened[@]}" --memory 64m --volume drill:/var/lib/gophership \
        --volume "$work/drill.yaml:/etc/gophership/gophership.yaml:ro" \
        localhost/gophership:check drill --p99-max 50ms "${DRILL[@]}"
}

# The sidecar manifest, with an application that is GopherShip too: its demo source sends OTLP.
check_pod() {
    need_engine
    need_python kubernetes-validate
    build_images
    "$BIN/python" deploy/checks/pod.py deploy/kubernetes/sidecar.yaml > "$work/pod.yaml"
    pods play kube --network none "$work/pod.yaml" > "$work/played" || { cat "$work/played"; return 1; }
    pods ps --format '{{.Names}} {{.Image}} {{.Status}}'
    local sidecar
    sidecar=$(pods ps --format '{{.Names}}' | grep -- '-gophership$')
    eventually pods exec "$sidecar" /usr/bin/gophership healthcheck
    check_process_in_pod "$sidecar"
    start_backend "$sidecar"
    eventually test -s "$work/backend/logs.jsonl"
    # What the downward API says is on the records.
    eventually grep -q '"k8s.pod.name"' "$work/backend/logs.jsonl"
    echo "$(wc -l < "$work/backend/logs.jsonl") requests of the application arrived"
    local started=$SECONDS
    pods stop --time 30 "$sidecar" > /dev/null
    echo "the sidecar stopped after $((SECONDS - started)) s with $(pods inspect --format '{{.State.ExitCode}}' "$sidecar")"
    [ "$(pods inspect --format '{{.State.ExitCode}}' "$sidecar")" = 0 ]
    pods play kube --down "$work/pod.yaml" > /dev/null
}

check_process_in_pod() {
    local status
    status=/proc/$(pods inspect --format '{{.State.Pid}}' "$1")/status
    grep -q '^Uid:.65532.65532' "$status"
    grep -q '^CapEff:.0000000000000000' "$status"
    cat "/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory:\(.*\)/\1/p' "${status%status}cgroup")/memory.limit_in_bytes" 2> /dev/null || true
}
