#!/usr/bin/env bash
# node-init.sh: process 1 of the cluster's namespaces. up.sh starts it by
#   unshare --net --mount --pid --uts --ipc --fork --mount-proc ...
# It builds the mounts and the network, checks that nothing leads out of that,
# and keeps the components running. Killing it ends every process of the
# cluster, pods too.
# shellcheck disable=SC2086  # *_ARGS are lists of words
set -euo pipefail
. "$(dirname "$0")/env.sh"
# Never on the machine itself: it mounts over /sys, /run and more.
if [ $$ != 1 ] || [ "$(readlink /proc/self/ns/net)" = "${OUTER_NET:?up.sh sets it}" ]; then
  echo "node-init.sh: not in namespaces of its own; use up.sh" >&2; exit 1
fi
export PATH=$KBIN:/usr/sbin:/usr/bin:/sbin:/bin
LOG=$KSTATE/log; RUNPID=$KSTATE/pid; STOP=$KSTATE/stop
mkdir -p "$LOG" "$RUNPID" "$STOP"
hostname "$NODE_NAME"

# --- mounts -----------------------------------------------------------------
# A /sys that shows this network namespace, with the cgroup tree of the host.
mkdir -p "$KSTATE/sys"; mount -t sysfs sysfs "$KSTATE/sys"
mount --rbind /sys/fs/cgroup "$KSTATE/sys/fs/cgroup"; mount --move "$KSTATE/sys" /sys
mount -t tmpfs -o mode=755 tmpfs /run     # /run/netns, /run/containerd, xtables.lock: our own
for d in kubelet containerd cni etcd; do  # default paths, private contents
  mkdir -p "$KSTATE/var/$d" "/var/lib/$d"; mount --bind "$KSTATE/var/$d" "/var/lib/$d"
done
if [ "${ETCD_TMPFS:-1}" = 1 ]; then mount -t tmpfs -o mode=700 tmpfs /var/lib/etcd; fi
mkdir -p "$KSTATE/var/log-pods" "$KSTATE/var/log-containers" /var/log/pods /var/log/containers
# The controller-manager's hostpath provisioner has this path built in; here it is the state's own.
mkdir -p "$KSTATE/var/hostpath_pv" /tmp/hostpath_pv; mount --bind "$KSTATE/var/hostpath_pv" /tmp/hostpath_pv
mount --bind "$KSTATE/var/log-pods" /var/log/pods
mount --bind "$KSTATE/var/log-containers" /var/log/containers
printf 'nameserver %s\nsearch svc.cluster.local cluster.local\n' "$DNS_IP" >"$KSTATE/resolv.conf"
mount --bind "$KSTATE/resolv.conf" "$(readlink -f /etc/resolv.conf)" # never the host's resolver
printf '127.0.0.1 localhost\n%s %s\n' "$NODE_IP" "$NODE_NAME" >"$KSTATE/hosts"
mount --bind "$KSTATE/hosts" /etc/hosts
# The kubelet insists on these six machine-wide settings. Show it files that
# already say so, and leave the machine's real ones as they are.
mkdir -p "$KSTATE/sysctl"
for kv in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  f=$KSTATE/sysctl/$(tr / . <<<"${kv%%=*}"); echo "${kv#*=}" >"$f"
  if [ -e "/proc/sys/${kv%%=*}" ]; then mount --bind "$f" "/proc/sys/${kv%%=*}"; fi
done
mount --make-rshared / # among our own namespaces only: unshare made it private first

# --- network ----------------------------------------------------------------
ip link set lo up
ip link add node0 type bridge             # no CONFIG_DUMMY here; an empty bridge holds the node's address
ip addr add "$NODE_IP/32" dev node0
ip link set node0 up
ip route add "$SVC_CIDR" dev node0 src "$NODE_IP" # routable before kube-proxy's DNAT; no default route on purpose
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true # same-node pod -> service needs it

# --- nothing leads out: shown before anything starts, or nothing starts ------
leak() { echo "node-init.sh: the cluster's network is not closed: $1" >&2; exit 1; }
up=$(ip -o link show up | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort | xargs)
[ "$up" = "lo node0" ] || leak "links $up"
[ -z "$(ip route show default; ip -6 route show default)" ] || leak "default route"
for a in 192.0.2.1 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 2001:db8::1 fd00::1; do # a look-up sends nothing
  if ip route get "$a" 2>/dev/null | grep -vE 'dev (lo|node0) |^ *cache'; then leak "route to $a"; fi
done
echo "closed network: links $up, no default route" # in init.log

# --- components -------------------------------------------------------------
# supervise NAME CMD...: run it, log it, start it again when it ends, unless
# $STOP/NAME exists (tests stop a component by that file and a kill).
supervise() {
  local name=$1; shift
  (
    while :; do
      if [ ! -e "$STOP/$name" ]; then
        "$@" >>"$LOG/$name.log" 2>&1 &
        echo $! >"$RUNPID/$name"
        wait $! || true
        echo "--- $name ended" >>"$LOG/$name.log"
      fi
      sleep 0.5
    done
  ) &
}
wait_url() { # url seconds [curl options]
  local url=$1 n=$(($2 * 20)); shift 2
  while [ $n -gt 0 ]; do
    if curl -fsS -o /dev/null --max-time 2 "$@" "$url" 2>/dev/null; then return 0; fi
    n=$((n - 1)); sleep 0.05
  done
  echo "no answer: $url" >&2; return 1
}
P=$KSTATE/pki; C=$KSTATE/kubeconfig
mark() { echo "$(now_ms) $1" >>"$KSTATE/timeline"; }

supervise etcd kubebox etcd --name=node1 --data-dir=/var/lib/etcd/data \
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
  --initial-cluster=node1=http://127.0.0.1:2380 --unsafe-no-fsync \
  --quota-backend-bytes=4294967296 --log-level=warn
mark etcd-started

supervise kube-apiserver kubebox kube-apiserver \
  --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address=0.0.0.0 \
  --advertise-address="$NODE_IP" \
  --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
  --client-ca-file="$P/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --service-cluster-ip-range="$SVC_CIDR" --allow-privileged \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
  --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" --kubelet-client-key="$P/apiserver-kubelet-client.key" \
  --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --requestheader-client-ca-file="$P/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key" \
  --enable-aggregator-routing=true --profiling=false ${APISERVER_ARGS:-}

if [ "$HOST_PORT" != 0 ]; then # relay, first half: a socket file both sides can see
  rm -f "$KSTATE/apiserver.sock"
  supervise relay socat "UNIX-LISTEN:$KSTATE/apiserver.sock,fork,backlog=512" TCP:127.0.0.1:6443
fi

if [ "$TIER" = node ]; then
  cat >"$KSTATE/containerd.toml" <<Y
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$KSTATE/cni"
Y
  mkdir -p "$KSTATE/cni"
  cat >"$KSTATE/cni/10-bridge.conflist" <<Y
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$POD_CIDR"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
  supervise containerd containerd --config "$KSTATE/containerd.toml"
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2: one tree; not tried, the machine it was written on has version 1
    mkdir -p "/sys/fs/cgroup$CGROUP_ROOT"
  else
    for h in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do mkdir -p "/sys/fs/cgroup/$h$CGROUP_ROOT"; done
    for f in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$f" >"/sys/fs/cgroup/cpuset$CGROUP_ROOT/$f"; done
  fi
  ( # images go in while the apiserver starts
    for _ in $(seq 200); do ctr version >/dev/null 2>&1 && break; sleep 0.05; done
    for t in "$KROOT"/images/*.tar; do ctr -n k8s.io images import "$t" >>"$LOG/import.log" 2>&1; done
    mark images-imported
  ) &
  IMPORT=$!
fi

wait_url https://127.0.0.1:6443/readyz 60 --cacert "$P/ca.crt" --cert "$P/admin.crt" --key "$P/admin.key"
mark apiserver-ready

supervise kube-controller-manager kubebox kube-controller-manager --kubeconfig="$C/controller-manager" \
  --authentication-kubeconfig="$C/controller-manager" --authorization-kubeconfig="$C/controller-manager" \
  --leader-elect=false --use-service-account-credentials=true \
  --kube-api-qps=500 --kube-api-burst=1000 \
  --root-ca-file="$P/ca.crt" --service-account-private-key-file="$P/sa.key" \
  --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" \
  --enable-hostpath-provisioner=true --profiling=false ${KCM_ARGS:-}

if [ "$TIER" = node ]; then
  supervise volumes podbox open /tmp/hostpath_pv
  supervise kube-scheduler kubebox kube-scheduler --kubeconfig="$C/scheduler" \
    --authentication-kubeconfig="$C/scheduler" --authorization-kubeconfig="$C/scheduler" --leader-elect=false
  cat >"$KSTATE/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $P/kubelet-server.crt
tlsPrivateKeyFile: $P/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP_ROOT
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: ""
maxPods: 250
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
registerNode: true
serializeImagePulls: false
syncFrequency: 10s
shutdownGracePeriod: 0s
registryPullQPS: 0
eventRecordQPS: 0
Y
  wait $IMPORT || true
  supervise kubelet kubebox kubelet --config="$KSTATE/kubelet.yaml" --kubeconfig="$C/kubelet" \
    --node-ip="$NODE_IP" --hostname-override="$NODE_NAME"
  cat >"$KSTATE/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $PROXY_MODE
clientConnection: {kubeconfig: $C/proxy}
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE_NAME
nodePortAddresses: [primary]
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
Y
  supervise kube-proxy kubebox kube-proxy --config="$KSTATE/proxy.yaml"
fi
mark components-started
trap 'exit 0' TERM
while :; do wait -n 2>/dev/null || sleep 0.2; done # also reaps what pods leave behind
