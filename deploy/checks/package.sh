# Checks of the deb and the rpm. Sourced by deploy/check.
# shellcheck shell=bash
: "${work:=}"

deb() {
    echo dist/gophership_*_amd64.deb
}

check_packages() {
    need_dist
    need_python nfpm
    need_debian lintian lintian rpm rpm dpkg-deb dpkg envsubst gettext-base
    PATH=$BIN:$PATH deploy/packages/build
    # Every finding, also the experimental and pedantic ones; but machine code has no words to misspell.
    local found
    found=$(lintian --allow-root --suppress-tags spelling-error-in-binary --display-info --display-experimental --pedantic "$(deb)" 2>&1) || true
    if [ -n "$found" ]; then
        echo "$found"
        return 1
    fi
    rpm --query --package --list dist/*.rpm > "$work/rpm"
    dpkg-deb --fsys-tarfile "$(deb)" | tar t > "$work/deb"
    local path
    for path in /usr/bin/gophership /usr/bin/gs-ctl /usr/lib/systemd/system/gophership.service \
        /etc/gophership/gophership.yaml /usr/share/man/man1/gophership.1.gz; do
        grep -qx "$path" "$work/rpm"
        if [ "$path" = /usr/lib/systemd/system/gophership.service ]; then path=/lib/systemd/system/gophership.service; fi
        grep -qxE "\.?$path" "$work/deb"
    done
    # Two builds are equal.
    sha256sum dist/*.deb dist/*.rpm > "$work/sums"
    PATH=$BIN:$PATH deploy/packages/build > /dev/null
    sha256sum --quiet --check "$work/sums"
}

# Installs the deb on a clean root, starts it as the unit does, reloads it, removes it.
check_install() {
    need_root
    need_dist
    [ -e "$(deb)" ] || cannot "there is no deb: deploy/check packages makes it"
    need_debian debootstrap debootstrap
    local root=$work/root cache=$TOOLS/bookworm.tar
    mkdir -p "$root"
    if [ ! -e "$cache" ]; then
        debootstrap --variant=minbase bookworm "$work/base" > "$work/debootstrap" ||
            cannot "debootstrap failed: $(tail -n 1 "$work/debootstrap")"
        tar cf "$cache.new" -C "$work/base" .
        mv "$cache.new" "$cache"
    fi
    tar xf "$cache" -C "$root"
    cp "$(deb)" "$root/gophership.deb"
    inside() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"; }
    inside apt-get install -y -qq --no-install-recommends ./gophership.deb > "$work/apt" 2>&1 || { cat "$work/apt"; return 1; }
    # shellcheck disable=SC2016  # the shell inside fills it in
    inside sh -c 'test "$(stat -c %U:%a /var/lib/gophership)" = gophership:750'
    # Ports that nobody else on this machine uses.
    sed -i -e 's/:4317"/:24317"/' -e 's/:4318"/:24318"/' -e 's/:9091"/:29091"/' "$root/etc/gophership/gophership.yaml"
    # The command line and the user of the unit.
    local command
    read -r -a command < <(sed -n 's/^ExecStart=//p' deploy/systemd/gophership.service)
    echo "as gophership: ${command[*]}"
    # No function, so that its id is that of the program.
    # shellcheck disable=SC2016  # the variables are those of the shell inside
    chroot "$root" /usr/bin/env PATH=/usr/bin:/bin sh -c 'cd /var/lib/gophership && exec setpriv --reuid gophership --regid gophership --clear-groups --no-new-privs "$@"' - "${command[@]}" 2> "$work/gophership.log" &
    local id=$!
    STARTED+=("$id")
    eventually inside /usr/bin/gophership healthcheck --address 127.0.0.1:29091
    curl -sS --fail http://127.0.0.1:24318/v1/logs -H 'content-type: application/json' \
        -d '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"kept"}}]}]}]}'
    echo
    # The commands of ExecReload.
    inside /usr/bin/gophership validate /etc/gophership/gophership.yaml
    kill -HUP "$id"
    eventually grep -q 'Reloaded the configuration' "$work/gophership.log"
    inside setpriv --reuid gophership --regid gophership --clear-groups \
        gs-ctl --socket /var/lib/gophership/control.sock health
    kill -TERM "$id"
    wait "$id"
    grep -q kept "$root/var/lib/gophership/otlp/logs.jsonl"
    inside apt-get purge -y -qq gophership > "$work/apt" 2>&1 || { cat "$work/apt"; return 1; }
    test ! -e "$root/usr/bin/gophership"
    test ! -e "$root/etc/gophership/gophership.yaml"
    # The user and what belongs to it are still there.
    grep -q kept "$root/var/lib/gophership/otlp/logs.jsonl"
    inside getent passwd gophership
}
