#!/usr/bin/env bash
# rbac.sh SERVICEACCOUNT NAMESPACE [--secrets true|false] [--in "NS…" --not-in "NS…"]: what the operator may do, asked of
# the API server that KUBECONFIG names. --in: namespaces that it watches; without it, it watches all.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
account=$1 own=$2; shift 2
secrets=true inside="" outside=""
while [ $# -gt 0 ]; do
  case $1 in
    --secrets) secrets=$2 ;;
    --in) inside=$2 ;;
    --not-in) outside=$2 ;;
    *) echo "what is $1?" >&2; exit 2 ;;
  esac
  shift 2
done
asked=$(mktemp) words=$(mktemp); trap 'rm -f "$asked" "$words"' EXIT
# may ANSWER VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAMESPACE [NAME]]: asked at the end, all at once.
may() {
  local answer=$1 verb=$2 resource=${3%%/*} subresource="" group=""
  case $3 in */*) subresource=${3#*/} ;; esac
  case $resource in *.*) group=${resource#*.} resource=${resource%%.*} ;; esac
  printf '{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"system:serviceaccount:%s:%s","groups":["system:serviceaccounts","system:serviceaccounts:%s","system:authenticated"],"resourceAttributes":{"verb":"%s","group":"%s","resource":"%s","subresource":"%s","namespace":"%s","name":"%s"}}}\n' \
    "$own" "$account" "$own" "$verb" "$group" "$resource" "$subresource" "${4-}" "${5-}" >>"$asked"
  echo "$answer $verb $3 ${4-} ${5-}" >>"$words"
}
kinds=$(k get crd -o jsonpath='{range .items[?(@.spec.group=="statustargets.dev")]}{.spec.names.plural} {end}')
[ -n "$kinds" ] || { echo "no kinds of statustargets.dev are there" >&2; exit 2; }
children="statefulsets.apps deployments.apps services configmaps serviceaccounts persistentvolumeclaims ingresses.networking.k8s.io
  networkpolicies.networking.k8s.io poddisruptionbudgets.policy horizontalpodautoscalers.autoscaling
  httproutes.gateway.networking.k8s.io podmonitors.monitoring.coreos.com"
# rights ANSWER WHERE…: of all that its work needs.
rights() {
  local answer=$1 kind verb child; shift
  for kind in $kinds; do
    for verb in get list watch patch update; do may "$answer" $verb "$kind.statustargets.dev" "$@"; done
    for verb in get patch update; do may "$answer" $verb "$kind.statustargets.dev/status" "$@"; done
    may "$answer" update "$kind.statustargets.dev/finalizers" "$@"
    # It makes none of them and takes none away.
    may no create "$kind.statustargets.dev" "$@"
    may no delete "$kind.statustargets.dev" "$@"
  done
  for child in $children; do
    for verb in get list watch create patch delete; do may "$answer" $verb "$child" "$@"; done
    may no deletecollection "$child" "$@"
  done
  for verb in create patch delete; do may "$answer" $verb secrets "$@"; done
  for verb in get list watch; do
    if [ "$secrets" = true ]; then may "$answer" $verb secrets "$@"; else may no $verb secrets "$@"; fi
    may "$answer" $verb pods "$@"
  done
  for verb in create patch; do may "$answer" $verb events.events.k8s.io "$@"; done
  for verb in create delete patch; do may no $verb pods "$@"; done
  may no create pods/exec "$@"
  may no get pods/log "$@"
  may no create serviceaccounts/token "$@"
  for verb in create patch bind escalate; do may no $verb roles.rbac.authorization.k8s.io "$@"; done
  may no create rolebindings.rbac.authorization.k8s.io "$@"
}
if [ -n "$inside" ]; then
  for namespace in $inside; do rights yes "$namespace"; done
  for namespace in $outside; do rights no "$namespace"; done
  may no list masters.statustargets.dev
  may no list namespaces
else
  rights yes
  for verb in get list watch; do may yes $verb namespaces; done
fi
for verb in get update patch; do may yes $verb leases.coordination.k8s.io "$own" "$account"; done
may yes create leases.coordination.k8s.io "$own"
may no get leases.coordination.k8s.io "$own" another
may no update leases.coordination.k8s.io kube-system "$account"
for resource in nodes persistentvolumes customresourcedefinitions.apiextensions.k8s.io \
  clusterroles.rbac.authorization.k8s.io validatingadmissionpolicies.admissionregistration.k8s.io; do
  may no get "$resource"; may no create "$resource"
done
may no impersonate users
answers=$(mktemp)
k create -f "$asked" -o jsonpath='{.status.allowed}{"\n"}' >"$answers"
same "all are answered" "$(wc -l <"$words")" "$(wc -l <"$answers")"
while read -r wanted question && read -r found <&3; do
  case $found in true) found=yes ;; *) found=no ;; esac
  same "may it $question" "$wanted" "$found"
done <"$words" 3<"$answers"
rm -f "$answers"
finish 150
