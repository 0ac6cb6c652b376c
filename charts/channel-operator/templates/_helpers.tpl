{{- define "channel-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "channel-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "channel-operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "channel-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "channel-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Names of cluster-scoped objects carry the namespace, so that two releases of one name do not meet. */ -}}
{{- define "channel-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "channel-operator.fullname" .) | trunc 200 -}}
{{- end -}}

{{- define "channel-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "channel-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "channel-operator.labels" -}}
{{ include "channel-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "channel-operator.image" -}}
{{- with .Values.image -}}
{{- $repository := .repository -}}
{{- if .registry }}{{- $repository = printf "%s/%s" .registry .repository }}{{- end -}}
{{- printf "%s:%s" $repository (default $.Chart.AppVersion .tag) -}}
{{- with .digest }}@{{ . }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What the operator does in a namespace it works in; nothing else is granted. */ -}}
{{- define "channel-operator.namespacedRules" -}}
- apiGroups: [channel-operator.dev]
  resources: [brokers, brokerusers, queues, topics, subscriptions]
  verbs: [list, watch, patch]
- apiGroups: [channel-operator.dev]
  resources: [brokers/status, brokerusers/status, queues/status, topics/status, subscriptions/status]
  verbs: [patch]
# Read by name, never listed: broker credentials, users' own passwords, and the binding Secrets.
# A binding Secret is deleted only to replace it when its immutable type must change, and only if owned.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* Each value is a setting of the operator; see its --help. */ -}}
{{- define "channel-operator.env" -}}
- name: CHANNEL_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: CHANNEL_OPERATOR_LEASE_NAME
  value: {{ include "channel-operator.fullname" . }}
- name: CHANNEL_OPERATOR_METRICS_ADDRESS
  value: {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | quote }}
- name: CHANNEL_OPERATOR_HEALTH_ADDRESS
  value: {{ printf "0.0.0.0:%d" (int .Values.health.port) | quote }}
- name: CHANNEL_OPERATOR_LOG_FORMAT
  value: {{ .Values.operator.logFormat }}
- name: CHANNEL_OPERATOR_LOG_LEVEL
  value: {{ .Values.operator.logLevel }}
- name: CHANNEL_OPERATOR_MAX_POLICIES
  value: {{ .Values.operator.maxPolicies | quote }}
{{- with .Values.watch.namespaces }}
- name: CHANNEL_OPERATOR_NAMESPACES
  value: {{ join "," (uniq .) | quote }}
{{- end }}
{{- with .Values.operator.operatorId }}
- name: CHANNEL_OPERATOR_OPERATOR_ID
  value: {{ . | quote }}
{{- end }}
{{- with .Values.operator.allowedBrokerHosts }}
- name: CHANNEL_OPERATOR_ALLOWED_BROKER_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.operator.tracingEndpoint }}
- name: CHANNEL_OPERATOR_TRACING_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Whether an object of the Prometheus operator is rendered: asked for, and its API is there or need not be. */ -}}
{{- define "channel-operator.rendersMonitoring" -}}
{{- $mode := .root.Values.metrics.renderMode -}}
{{- $there := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if not .create -}}
false
{{- else if or $there (eq $mode "always") -}}
true
{{- else if eq $mode "fail" -}}
{{- fail (printf "%s.create: the cluster has no API monitoring.coreos.com/v1; install the Prometheus operator first, or set metrics.renderMode to skip or always" .what) -}}
{{- else -}}
false
{{- end -}}
{{- end -}}

{{- /* The restricted Pod Security Standard. Not a value: nothing the operator does needs more. */ -}}
{{- define "channel-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "channel-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "channel-operator.testName" -}}
{{ include "channel-operator.fullname" . }}-test
{{- end -}}

{{- /* Not those of the operator's pods: no Service, budget or NetworkPolicy of theirs means the test. */ -}}
{{- define "channel-operator.testLabels" -}}
app.kubernetes.io/name: {{ include "channel-operator.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "channel-operator.testRights" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}

{{- /* Constraints without a labelSelector mean the operator's own pods. */ -}}
{{- define "channel-operator.spread" -}}
{{- range .Values.topologySpreadConstraints }}
- {{- omit . "labelSelector" | toYaml | nindent 2 }}
  labelSelector:
    {{- if .labelSelector }}
    {{- toYaml .labelSelector | nindent 4 }}
    {{- else }}
    matchLabels: {{- include "channel-operator.selectorLabels" $ | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}
