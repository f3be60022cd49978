#!/usr/bin/env bash
# lifecycle.sh: both charts on the cluster that KUBECONFIG names: installed, updated, rolled back, removed, installed
# again. It needs no node, since it waits for no pod. It makes and removes the namespaces status-ops, status-ci,
# status-other and buildbot-status, and the kinds of statustargets.dev.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
ops=status-ops ci=status-ci other=status-other name=status-buildbot-status-operator
operator=(status "$charts/buildbot-status-operator" --namespace "$ops")
clean() {
  k delete masters,webstatuses,mailnotifiers,httppushes,statuspushes,gerritpushes,githubstatuses --all --namespace $ci --ignore-not-found >/dev/null 2>&1
  helm uninstall status --namespace $ops --ignore-not-found >/dev/null 2>&1
  helm uninstall kinds --namespace $ops --ignore-not-found >/dev/null 2>&1
  k delete crd -l app.kubernetes.io/part-of=buildbot-status --ignore-not-found >/dev/null 2>&1
  k delete -f "$charts/plain/operator.yaml" --ignore-not-found >/dev/null 2>&1
  k delete namespace buildbot-status $ops $ci $other --ignore-not-found >/dev/null 2>&1
}
clean
trap clean EXIT
for namespace in $ops $ci $other; do check "namespace $namespace" k create namespace "$namespace"; done
k label namespace $ops pod-security.kubernetes.io/enforce=restricted >/dev/null
seed() { k get secret $name-seed --namespace $ops -o jsonpath='{.data}'; }
argument() { k get deployment $name --namespace $ops -o jsonpath="{.spec.template.spec.containers[0].args}" | grep -c -- "$1"; }

echo "== install"
check "the kinds are installed" helm install kinds "$charts/buildbot-status-crds" --namespace $ops
check "the kinds are served" k wait --for=condition=Established crd -l app.kubernetes.io/part-of=buildbot-status --timeout=60s
count=$(find "$repository/crds/yaml" -name '*.yaml' | wc -l)
same "all kinds are there" "$count" "$(k get crd -o name | grep -c statustargets.dev)"
check "the operator is installed" helm install "${operator[@]}"
first=$(seed)
check "there is a seed key, named by its day" grep -Eq '^\{"[0-9]{4}-[0-9]{2}-[0-9]{2}":"[^"]+"\}$' <<<"$first"
soon k get pods --namespace $ops -l app.kubernetes.io/component=operator -o 'jsonpath={.items[0].metadata.name}'
check "its pod is let in where Pod Security is restricted" \
  k get pods --namespace $ops -l app.kubernetes.io/component=operator -o 'jsonpath={.items[0].metadata.name}'
# What Prometheus' operator defines is held against its kinds where the cluster has them.
monitoring=()
k get crd podmonitors.monitoring.coreos.com >/dev/null 2>&1 ||
  monitoring=(--set "metrics.serviceMonitor.enabled=false,metrics.podMonitor.enabled=false,metrics.prometheusRule.enabled=false")
all() {
  helm template "${operator[@]}" --kube-version 1.33.0 --values "$charts/tests/values/everything.yaml" \
    --set "watchNamespaces={$ci,$other}" "${monitoring[@]}" | k apply --dry-run=server -f -
}
check "the API server takes all that can be set" all
resources=$(grep -l statustargets.dev "$repository"/docs/examples/minimal/*.yaml | wc -l)
check "the examples are taken" k apply --namespace $ci -f "$repository/docs/examples/minimal"
same "kubectl get statustargets lists them" "$resources" "$(k get statustargets --namespace $ci -o name | wc -l)"
check "the operator's rights are what its work needs" "$charts/tests/rbac.sh" $name $ops
k create rolebinding viewer --clusterrole=view --user=viewer --namespace $ci >/dev/null
k create rolebinding editor --clusterrole=edit --user=editor --namespace $ci >/dev/null
soon k auth can-i get masters.statustargets.dev --as=viewer --namespace $ci -q # aggregated a moment later
check "a viewer sees them" k auth can-i get masters.statustargets.dev --as=viewer --namespace $ci
refused "a viewer changes nothing" no k auth can-i patch masters.statustargets.dev --as=viewer --namespace $ci
check "an editor does" k auth can-i patch masters.statustargets.dev --as=editor --namespace $ci

echo "== update"
k patch secret $name-seed --namespace $ops --type=merge \
  -p '{"stringData":{"2099-01-01":"a second key, that somebody added by hand, as an exchange begins"}}' >/dev/null
both=$(seed)
check "the operator is updated" helm upgrade "${operator[@]}" --set concurrency=3 --set "watchNamespaces={$ci}" --set watchSecrets=false
same "the seed keys stay" "$both" "$(seed)"
same "what was changed is changed" 1 "$(argument --concurrency=3)"
check "its rights are those of one namespace, without reading Secrets" \
  "$charts/tests/rbac.sh" $name $ops --secrets false --in $ci --not-in "$other $ops"
check "the kinds are updated" helm upgrade kinds "$charts/buildbot-status-crds" --namespace $ops --set labels.team=ci
same "the resources stay" "$resources" "$(k get statustargets --namespace $ci -o name | wc -l)"
refused "a value that is unknown is refused" concurency helm upgrade "${operator[@]}" --set concurency=3

echo "== bounds"
manifest() { printf '{"apiVersion":"statustargets.dev/v1alpha1","kind":"WebStatus","metadata":{"name":"%s","namespace":"%s"},"spec":{"masterRef":{"name":"main"},%s}}' "$1" $ci "$2"; }
try() { manifest bounded "$1" | k apply --dry-run=server -f -; }
bad='"pod":{"volumes":[{"name":"v","hostPath":{"path":"/"}}]}'
manifest older "$bad" | k apply -f - >/dev/null
check "the policy is made" helm upgrade "${operator[@]}" --set admissionPolicy.enabled=true \
  --set 'admissionPolicy.hosts={*.example.org}' --set 'admissionPolicy.serviceTypes={ClusterIP}'
not() { ! "$@"; }
soon not try "$bad" # a policy holds a moment after it is made
refused "a folder of the node is refused" "spec.pod.volumes: only these kinds" try "$bad"
refused "a token is refused" "ServiceAccount's token" \
  try '"pod":{"volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}]}'
refused "a host of others is refused" "only these are allowed here: *.example.org" try '"ingress":{"host":"status.example.com"}'
refused "a route for all hosts is refused" "must be given here" try '"httpRoute":{"parentRefs":[{"name":"g"}]}'
refused "a Service of another type is refused" "spec.service.type" try '"service":{"type":"NodePort"}'
check "what is within bounds is taken" try '"ingress":{"host":"status.example.org"},"service":{"type":"ClusterIP"},"pod":{"volumes":[{"name":"v","configMap":{"name":"c"}}]},"httpRoute":{"parentRefs":[{"name":"g"}],"hostnames":["a.example.org"]}'
check "what was there before can be labelled" k label webstatus older --namespace $ci a=b
refused "but not be changed" "spec.pod.volumes" k patch webstatus older --namespace $ci --type=merge -p '{"spec":{"title":"x"}}'
check "and it can be deleted" k delete webstatus older --namespace $ci --timeout=30s

echo "== rollback"
check "the first revision comes back" helm rollback status 1 --namespace $ops
same "with what it had" 1 "$(argument --concurrency=16)"
same "the seed keys stay" "$both" "$(seed)"
same "the policy is gone" "" "$(k get validatingadmissionpolicies -o name | grep $name)"
check "its rights are those of all namespaces again" "$charts/tests/rbac.sh" $name $ops

echo "== removal"
check "the operator is removed" helm uninstall status --namespace $ops
same "nothing of it runs" "" "$(k get deployments,services,serviceaccounts,roles --namespace $ops -o name | grep $name)"
same "nothing of it is left in the cluster" "" "$(k get clusterroles,clusterrolebindings -o name | grep $name)"
same "the seed keys stay" "$both" "$(seed)"
check "the kinds are removed from Helm" helm uninstall kinds --namespace $ops
same "they stay in the cluster" "$count" "$(k get crd -o name | grep -c statustargets.dev)"
same "and the resources too" "$resources" "$(k get statustargets --namespace $ci -o name | wc -l)"
k annotate crd --all meta.helm.sh/release-name- >/dev/null
refused "kinds of somebody else's are left alone" "invalid ownership metadata" \
  helm install kinds "$charts/buildbot-status-crds" --namespace $ops
for crd in $(k get crd -o name | grep statustargets.dev); do # as docs/install.md hands them over
  k label "$crd" app.kubernetes.io/managed-by=Helm --overwrite >/dev/null
  k annotate "$crd" meta.helm.sh/release-name=kinds meta.helm.sh/release-namespace=$ops --overwrite >/dev/null
done
check "the kinds are handed over and installed again" helm install kinds "$charts/buildbot-status-crds" --namespace $ops
check "the operator is installed again" helm install "${operator[@]}"
same "with the same seed keys" "$both" "$(seed)"
check "the operator is removed again" helm uninstall status --namespace $ops
k create namespace buildbot-status >/dev/null
check "without Helm: the kinds are applied" k apply --server-side --force-conflicts -f "$repository/crds/yaml"
check "without Helm: the operator is applied" k apply -f "$charts/plain/operator.yaml"
check "without Helm: it has the same rights" "$charts/tests/rbac.sh" buildbot-status-operator buildbot-status
finish 53
