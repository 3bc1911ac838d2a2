{{- define "windlass.name" -}}
{{- if contains "windlass" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-windlass" (.Release.Name | trunc 31 | trimSuffix "-") }}{{ end }}
{{- end }}

{{/* What selects the controller's Pods; must never change. */}}
{{- define "windlass.selector" -}}
app.kubernetes.io/name: windlass
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "windlass.labels" -}}
{{ include "windlass.selector" . }}
{{ include "windlass.common" . }}
{{- end }}

{{- define "windlass.common" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "windlass.part-of" -}}
app.kubernetes.io/name: windlass
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "windlass.common" . }}
{{- end }}

{{- define "windlass.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "windlass.name" .) }}
{{- end }}

{{- define "windlass.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{/* Where artifacts are kept; empty: nowhere. */}}
{{- define "windlass.artifacts" -}}
{{- if .Values.artifacts.bucket }}{{ .Values.artifacts.bucket }}{{ else if .Values.artifacts.existingClaim }}/var/lib/windlass-artifacts{{ end }}
{{- end }}

{{- define "windlass.databaseSecret" -}}
{{ if .Values.postgres.enabled }}{{ include "windlass.name" . }}-postgres{{ else }}{{ .Values.database.existingSecret }}{{ end }}
{{- end }}

{{/* Names of everything outside of namespaces carry the namespace, so that two installations get along. */}}
{{- define "windlass.clusterName" -}}
{{ include "windlass.name" . }}.{{ .Release.Namespace }}
{{- end }}

{{/* What the controller does in the namespaces that it serves, and nothing more. */}}
{{- define "windlass.rules" -}}
- apiGroups: [windlass.dev]
  resources: [workflows, workflowruns, promotions, environments, workflowsources]
  verbs: [get, list, watch]
# What is promoted into an environment is applied there, and removed when it is no longer.
- apiGroups: [windlass.dev]
  resources: [workflows]
  verbs: [create, update, patch, delete]
- apiGroups: [windlass.dev]
  resources: [promotions]
  verbs: [create]
# Removed by age and number, once they have ended; kept by a finalizer until then when something is to be done at the end.
- apiGroups: [windlass.dev]
  resources: [workflowruns]
  verbs: [patch, delete]
- apiGroups: [windlass.dev]
  resources: [workflows/status, workflowruns/status, promotions/status, environments/status, workflowsources/status]
  verbs: [patch]
# Steps, and the files of their workflow's version.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
# Credentials of repositories, and what http steps send: only those labelled windlass.dev/use=allowed are used.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Why a step's volume cannot be mounted, which only the kubelet's Events say.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Whether a namespace agrees to be an environment's, and which accounts it lends to steps.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
