#!/usr/bin/env bash
# Settings shared by every script here. Source it; override by environment.
# shellcheck disable=SC2034  # most of them are used by the scripts that source this
KCACHE=${KCACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/buildbot-status-operator/cluster} # what was built, under keys of its inputs
KROOT=${KROOT:-$KCACHE}                  # bin and images in use, install.log
KBIN=${KBIN:-$KROOT/bin}                 # built binaries (links)
KSTATE=${KSTATE:-$KROOT/state}           # one cluster's whole state; up.sh empties it
KSCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBE_VERSION=${KUBE_VERSION:-1.33.13}

# Addresses exist only inside the cluster's own network namespace, which has
# no link and no route to any other one.
NODE_NAME=${NODE_NAME:-node1}
NODE_IP=${NODE_IP:-10.89.0.1}
POD_CIDR=${POD_CIDR:-10.244.0.0/24}
POD_GW=${POD_GW:-10.244.0.1}              # first address of POD_CIDR
SVC_CIDR=${SVC_CIDR:-10.96.0.0/16}
DNS_IP=${DNS_IP:-10.96.0.10}
KUBE_SVC_IP=${KUBE_SVC_IP:-10.96.0.1}
PROXY_MODE=${PROXY_MODE:-nftables}       # or iptables
HOST_PORT=${HOST_PORT:-16443}            # 127.0.0.1 port of the apiserver outside; 0 = none
CGROUP_ROOT=${CGROUP_ROOT:-/buildbot-status-cluster} # the pods' cgroups live under this one
ADDONS=${ADDONS-coredns,contour}         # "" = none
TIER=${TIER:-node}                       # node | control (etcd, apiserver, controller-manager)

now_ms() { date +%s%3N; }
# A process is known by its id and its start time, so that an old file never
# makes us signal somebody else's process that got the same id.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
note_pid() { echo "$2 $(start_time "$2")" >"$KSTATE/$1.pid"; } # NAME PID
live_pid() { # NAME: its id, if that very process still runs
  local p s
  read -r p s 2>/dev/null <"$KSTATE/$1.pid" && [ -n "$s" ] && [ "$(start_time "$p")" = "$s" ] && echo "$p"
}
# Processes of the cluster are pid 1 of a pid namespace and its children.
init_pid() { live_pid init || { echo "no cluster is up in $KSTATE" >&2; return 1; }; }
# in_node CMD...: run CMD in the cluster's namespaces (net, mount, pid, uts, ipc).
in_node() { local p; p=$(init_pid) && nsenter -t "$p" -n -m -p -u -i -- "$@"; }
# in_net CMD...: run CMD in the cluster's network only, files as on the host.
in_net() { local p; p=$(init_pid) && nsenter -t "$p" -n -- "$@"; }
