{{- /* A rule and its binding. Arguments: root, name, resources, allowed (an expression that is true for what may pass),
message. With watch.namespaces it holds in these namespaces only. */ -}}
{{- define "channel-operator.admissionPolicy" -}}
{{- $name := printf "%s-%s" (include "channel-operator.clusterName" .root) .name }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels: {{- include "channel-operator.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    {{- with .root.Values.watch.namespaces }}
    namespaceSelector:
      matchExpressions:
        - {key: kubernetes.io/metadata.name, operator: In, values: {{ uniq . | toJson }}}
    {{- end }}
    resourceRules:
      - apiGroups: [channel-operator.dev]
        apiVersions: ["*"]
        operations: [CREATE, UPDATE]
        resources: {{ .resources | toJson }}
  validations:
    - expression: {{ .allowed | quote }}
      message: {{ .message | quote }}
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels: {{- include "channel-operator.labels" .root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: {{ .root.Values.admissionPolicies.validationActions | toJson }}
{{- end -}}

{{- /* True where the field has not that value, had it before, or may have it here. Arguments: field, value (empty: any),
namespaces. What was written before the rule came never stops the operator's own patches. */ -}}
{{- define "channel-operator.onlyIn" -}}
{{- $is := printf "has(X.spec.%s)" .field }}
{{- if .value }}{{ $is = printf "(has(X.spec.%s) && X.spec.%s == '%s')" .field .field .value }}{{ end -}}
!{{ $is | replace "X" "object" }} || (oldObject != null && {{ $is | replace "X" "oldObject" }}) || request.namespace in {{ .namespaces | toJson | replace "\"" "'" }}
{{- end -}}
