#!/usr/bin/env bash
# pki.sh: certificates, keys and kubeconfigs of one cluster, in $KSTATE/pki and
# $KSTATE/kubeconfig. ECDSA keys: all of it takes well under a second.
set -euo pipefail
. "$(dirname "$0")/env.sh"
P=$KSTATE/pki; C=$KSTATE/kubeconfig
mkdir -p "$P" "$C"; chmod 700 "$P" "$C"; cd "$P"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
ca() { # name cn
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 3650 -out "$1.crt" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
}
cert() { # name ca subject usage [san]
  key "$1"
  {
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$4"
    if [ -n "${5:-}" ]; then echo "subjectAltName=$5"; fi
  } >"$1.ext"
  openssl req -new -key "$1.key" -subj "$3" |
    openssl x509 -req -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 8)" \
      -days 3650 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  rm -f "$1.ext"
}
kubeconfig() { # name cert server
  cat >"$C/$1" <<Y
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: $3
    certificate-authority-data: $(base64 -w0 ca.crt)
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$2.crt")
    client-key-data: $(base64 -w0 "$2.key")
contexts:
- name: test
  context: {cluster: test, user: $1}
current-context: test
Y
  chmod 600 "$C/$1"
}

ca ca kubernetes-ca
ca front-proxy-ca front-proxy-ca
key sa && openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
cert apiserver ca "/CN=kube-apiserver" serverAuth \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_IP,IP:$KUBE_SVC_IP"
cert apiserver-kubelet-client ca "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
cert front-proxy-client front-proxy-ca "/CN=front-proxy-client" clientAuth
cert admin ca "/O=system:masters/CN=admin" clientAuth
cert controller-manager ca "/CN=system:kube-controller-manager" clientAuth
cert scheduler ca "/CN=system:kube-scheduler" clientAuth
cert proxy ca "/CN=system:kube-proxy" clientAuth
cert kubelet ca "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
cert kubelet-server ca "/CN=$NODE_NAME" serverAuth "DNS:$NODE_NAME,IP:$NODE_IP,IP:127.0.0.1"

S=https://127.0.0.1:6443
kubeconfig controller-manager controller-manager $S
kubeconfig scheduler scheduler $S
kubeconfig proxy proxy $S
kubeconfig kubelet kubelet $S
kubeconfig admin admin $S                                # inside the namespace
kubeconfig admin-host admin "https://127.0.0.1:$HOST_PORT" # outside, by the relay
