{{- /* Names, labels, and the few values that are derived from others. */ -}}

{{- define "berth.name" -}}
{{- if .Values.nameOverride -}}
{{ .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains "berth" .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-berth" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "berth.selectorLabels" -}}
app.kubernetes.io/name: berth
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "berth.labels" -}}
{{ include "berth.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "berth.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (include "berth.name" .) }}
{{- end -}}

{{- define "berth.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "berth.port" -}}
{{ regexFind "[0-9]+$" .Values.settings.listen }}
{{- end -}}

{{- /* The settings as the operator reads them. Whole numbers are written as such: Helm holds them as floats. */ -}}
{{- define "berth.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if kindIs "float64" $value }}
{{ $name }}: {{ if eq $value (floor $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- else if not (kindIs "invalid" $value) }}
{{ $name }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* What cannot change while the operator runs: only these settings start new pods. */ -}}
{{- define "berth.fixedSettings" -}}
{{ pick .Values.settings "listen" "leaseNamespace" "leaseName" "leaseSeconds" "connections" "podPriorityClass" | toJson }}
{{- end -}}
