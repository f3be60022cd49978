{{- /* What the operator may do in the namespaces that it watches. */}}
{{- define "operator.namespacedRules" -}}
- apiGroups: [statustargets.dev]
  resources: {{ toJson .Values.rbac.kinds }}
  verbs: [get, list, watch, patch, update]
- apiGroups: [statustargets.dev]
  resources: {{ include "operator.subresources" (dict "kinds" .Values.rbac.kinds "name" "status") }}
  verbs: [get, patch, update]
- apiGroups: [statustargets.dev]
  resources: {{ include "operator.subresources" (dict "kinds" .Values.rbac.kinds "name" "finalizers") }}
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: {{ if .Values.watchSecrets }}[get, list, watch, create, patch, delete]{{ else }}[create, patch, delete]{{ end }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "operator.subresources" -}}
{{- $all := list }}
{{- range .kinds }}{{ $all = append $all (printf "%s/%s" . $.name) }}{{ end }}
{{- toJson $all }}
{{- end }}

{{- define "operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
