{{- define "rtm.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rtm.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rtm.labels" -}}
{{ include "rtm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "rtm.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "rtm.drainSeconds" -}}
{{- if kindIs "invalid" .Values.drain.timeSeconds -}}
{{- ternary 60 10 (not (empty .Values.cluster.nats)) -}}
{{- else -}}
{{- int .Values.drain.timeSeconds -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "rtm.check" -}}
{{- if .Values.existingSecret -}}
{{- if or .Values.projects .Values.config -}}
{{- fail "existingSecret is the whole configuration: projects and config must be empty beside it" -}}
{{- end -}}
{{- else if and (not .Values.projects) (not (contains "[[project]]" .Values.config)) -}}
{{- fail "there is no project: set projects, a [[project]] in config, or existingSecret" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.cluster.nats) -}}
{{- fail (printf "replicas is %d, but cluster.nats is empty: servers are one service only on NATS" (int .Values.replicas)) -}}
{{- end -}}
{{- with .Values.cluster.credentials -}}
{{- if and .secretName (not (or .file (and .user .password))) -}}
{{- fail "cluster.credentials.secretName needs file, or user and password" -}}
{{- end -}}
{{- if and (or .file .user .password) (not .secretName) -}}
{{- fail "cluster.credentials needs a secretName" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- end -}}
