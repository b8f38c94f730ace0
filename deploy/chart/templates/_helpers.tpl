{{/* Reference of the image: the digest where one is given, else the tag. */}}
{{- define "clb-direct.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "clb-direct.labels" -}}
app.kubernetes.io/name: clb-direct
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* Environment from a map of key to value, e.g. {DRAIN_MS: 60000}; YAML's numbers come as floating point. */}}
{{- define "clb-direct.settings" -}}
{{- range $key, $value := . }}
- name: {{ $key }}
  value: {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* A port of the coordinator: as its settings have it, else the default, e.g. (list . "WEBHOOK_PORT" 8443). */}}
{{- define "clb-direct.port" -}}
{{ dig (index . 1) (index . 2) (index . 0).Values.coordinator.settings | int }}
{{- end -}}

{{/* What may not be installed; included once, by the coordinator's template. */}}
{{- define "clb-direct.preflight" -}}
{{- if not .Values.region }}{{ fail "region is missing: set the region of your load balancers, e.g. --set region=ap-guangzhou" }}{{ end }}
{{- if not .Values.image.repository }}{{ fail "image.repository is missing: set where you pushed the image, e.g. --set image.repository=registry.example.com/clb-direct" }}{{ end }}
{{- if eq .Release.Namespace "kube-system" }}{{ fail "namespace kube-system: the coordinator may read and delete every ConfigMap of its Namespace; choose another one, e.g. --namespace clb-direct --create-namespace" }}{{ end }}
{{- if .Values.coordinator.hostNetwork }}
{{- $own := list 9443 9090 9091 (include "clb-direct.port" (list . "WEBHOOK_PORT" 8443) | int) (include "clb-direct.port" (list . "EXPLAIN_PORT" 9092) | int) }}
{{- range $key, $port := .Values.agent.ports }}
{{- if has (int $port) $own }}{{ fail (printf "agent.ports.%s is %d, which the coordinator takes on its node with coordinator.hostNetwork: set another one, e.g. --set agent.ports.%s=%d" $key (int $port) $key (add (int $port) 100)) }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A validation of objects of our own Namespace. What somebody else put there may stay: the object has to be mended all the same. */}}
{{- define "clb-direct.othersMetadata" -}}
- expression: >-
    object == null ||
    (object.metadata.?ownerReferences.orValue([]) == (oldObject == null ? [] : oldObject.metadata.?ownerReferences.orValue([])) &&
    object.metadata.?finalizers.orValue([]) == (oldObject == null ? [] : oldObject.metadata.?finalizers.orValue([])))
  message: clb-direct gives its own objects neither owners nor finalizers
  reason: Forbidden
{{- end }}
