#!/usr/bin/env bash
# up.sh: start one cluster and wait until it is usable. Needs install.sh done.
set -euo pipefail
. "$(dirname "$0")/env.sh"
if live_pid init >/dev/null; then echo "already up"; exit 0; fi
[ -x "$KBIN/kubebox" ] || { echo "up.sh: nothing is built yet; run: cargo xtask cluster up" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "up.sh: needs root: it makes namespaces, mounts and cgroups" >&2; exit 1; }
[ ${#KSTATE} -le 90 ] || { echo "up.sh: $KSTATE is too long for a socket file in it" >&2; exit 1; }
rm -rf --one-file-system "$KSTATE"; mkdir -p "$KSTATE"; echo "$TIER" >"$KSTATE/tier"
t0=$(now_ms); echo "$t0 begin" >"$KSTATE/timeline"
mark() { echo "$(now_ms) $1" >>"$KSTATE/timeline"; }
die() { echo "up.sh: $1; see $KSTATE/init.log and $KSTATE/log" >&2; tail -5 "$KSTATE/init.log" >&2; exit 1; }
"$KSCRIPTS/pki.sh"; mark pki

OUTER_NET=$(readlink /proc/self/ns/net) setsid unshare --net --mount --pid --uts --ipc --fork --kill-child \
  --mount-proc --propagation private -- "$KSCRIPTS/node-init.sh" >"$KSTATE/init.log" 2>&1 </dev/null &
holder=$!
for _ in $(seq 100); do p=$(pgrep -P $holder || true); [ -n "$p" ] && break; sleep 0.02; done
[ -n "$p" ] || die "init did not start"
note_pid init "$p"; note_pid holder $holder
until grep -q components-started "$KSTATE/timeline"; do
  kill -0 "$p" 2>/dev/null || die "init ended"
  [ $(($(now_ms) - t0)) -lt 120000 ] || die "control plane not ready in 120 s"
  sleep 0.05
done

if [ "$HOST_PORT" != 0 ]; then # relay, second half: loopback outside -> the socket file
  setsid socat "TCP-LISTEN:$HOST_PORT,bind=127.0.0.1,fork,reuseaddr,backlog=512" \
    "UNIX-CONNECT:$KSTATE/apiserver.sock" >"$KSTATE/relay-host.log" 2>&1 </dev/null &
  note_pid relay-host $!
fi
k() { in_net "$KBIN/kubebox" kubectl --kubeconfig "$KSTATE/kubeconfig/admin" "$@"; }
apply() { k apply --server-side --force-conflicts "$@" >/dev/null; } # some CRDs are too large for the client's annotation
if [ "$TIER" = control ]; then # default ServiceAccount present = controllers run
  until k get sa default >/dev/null 2>&1; do sleep 0.1; done; mark serviceaccount
else
  files=(); for a in ${ADDONS//,/ }; do if [ -e "$KBIN/$a-crds.yaml" ]; then files+=(-f "$KBIN/$a-crds.yaml"); fi; done
  crds=; if [ ${#files[@]} -gt 0 ]; then apply "${files[@]}" & crds=$!; fi # while the node registers
  until k get node "$NODE_NAME" >/dev/null 2>&1; do sleep 0.1; done; mark node-registered
  k wait --for=condition=Ready "node/$NODE_NAME" --timeout=90s >/dev/null || die "node not Ready"; mark node-ready
  apply -f "$KSCRIPTS/manifests/base.yaml"
  for a in ${ADDONS//,/ }; do
    if [ -e "$KBIN/$a-crds.yaml" ]; then
      if [ -n "$crds" ]; then wait "$crds" || die "CRDs not applied"; crds=; mark crds-applied; fi
      k wait --for=condition=Established -f "$KBIN/$a-crds.yaml" --timeout=30s >/dev/null || die "CRDs not established"
    fi
    sed -e "s/@NODE_IP@/$NODE_IP/g; s/@DNS_IP@/$DNS_IP/g" "$KSCRIPTS/manifests/$a.yaml" | apply -f -
  done
  mark addons-applied
  for a in ${ADDONS//,/ }; do k -n kube-system rollout status "deploy/$a" --timeout=90s >/dev/null || die "$a not ready"; mark "$a-ready"; done
fi
mark up
awk -v t0="$t0" '{printf "%7.2fs %s\n", ($1-t0)/1000, $2}' "$KSTATE/timeline"
