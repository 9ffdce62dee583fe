{{- define "gophership.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gophership.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.mode }}
{{- end }}

{{- define "gophership.labels" -}}
{{ include "gophership.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gophership.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "gophership.resources" -}}
{{- if .Values.resources }}
{{- toYaml .Values.resources }}
{{- else if eq .Values.mode "gateway" -}}
requests: { cpu: "1", memory: 768Mi }
limits: { memory: 768Mi }
{{- else if eq .Values.mode "agent" -}}
requests: { cpu: 100m, memory: 256Mi }
limits: { memory: 256Mi }
{{- else -}}
requests: { cpu: 50m, memory: 64Mi }
limits: { memory: 64Mi }
{{- end }}
{{- end }}

{{/* The configuration of the mode; also for the chart of an application that brings GopherShip as a subchart. */}}
{{- define "gophership.config" -}}
{{- if .Values.config }}
{{- .Values.config }}
{{- else }}
{{- $listen := ternary "127.0.0.1" "0.0.0.0" (eq .Values.mode "sidecar") -}}
data_dir: /var/lib/gophership
sources:
  otlp:
    type: otlp
    grpc: { listen: "{{ $listen }}:4317" }
    http: { listen: "{{ $listen }}:4318" }
    pivot: vault
    {{- if eq .Values.mode "gateway" }}
    connection: { age_max: 10m }
    {{- end }}
{{- if ne .Values.mode "gateway" }}
transforms:
  label:
    type: enrich
    inputs: [otlp]
    resource:
      k8s.node.name: { set_if_absent: "${NODE_NAME}" }
      {{- if eq .Values.mode "sidecar" }}
      k8s.namespace.name: { set_if_absent: "${POD_NAMESPACE}" }
      k8s.pod.name: { set_if_absent: "${POD_NAME}" }
      k8s.pod.uid: { set_if_absent: "${POD_UID}" }
      {{- end }}
    shed_in: yellow
{{- end }}
sinks:
  backend:
    type: otlp
    inputs: [{{ ternary "otlp" "label" (eq .Values.mode "gateway") }}]
    endpoint: "${BACKEND}"
    compression: zstd
  vault:
    type: raw_vault
    max_size: {{ mulf .Values.vault.sizeGiB 1024 0.9 | int }}MiB
    {{- if eq .Values.mode "sidecar" }}
    segment_size: 16MiB
    {{- end }}
metrics: { listen: "0.0.0.0:9091" }
shutdown: { grace: {{ sub .Values.terminationGracePeriodSeconds 10 }}s }
{{- end }}
{{- end }}

{{- define "gophership.container" -}}
name: gophership
image: {{ include "gophership.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/gophership/gophership.yaml, --watch-config, --log-format, json, --log, {{ .Values.log | quote }}]
env:
  - { name: BACKEND, value: {{ .Values.backend | quote }} }
  - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
  - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
  - { name: POD_UID, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
  - { name: NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- if ne .Values.mode "sidecar" }}
  - { name: otlp-grpc, containerPort: 4317 }
  - { name: otlp-http, containerPort: 4318 }
  {{- end }}
  - { name: metrics, containerPort: 9091 }
startupProbe: { httpGet: { path: {{ ternary "/readyz" "/livez" (eq .Values.mode "sidecar") }}, port: metrics }, periodSeconds: 2, failureThreshold: 150 }
livenessProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 }
{{- if ne .Values.mode "sidecar" }}
readinessProbe: { httpGet: { path: /readyz, port: metrics }, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2 }
{{- end }}
resources:
  {{- include "gophership.resources" . | nindent 2 }}
securityContext:
  runAsUser: {{ ternary 0 65532 (eq .Values.mode "agent") }}
  runAsGroup: {{ ternary 0 65532 (eq .Values.mode "agent") }}
  runAsNonRoot: {{ ne .Values.mode "agent" }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - { name: gophership-config, mountPath: /etc/gophership, readOnly: true }
  - { name: gophership-data, mountPath: /var/lib/gophership }
{{- end }}

{{/* What Pods of all modes share. */}}
{{- define "gophership.pod" -}}
serviceAccountName: {{ include "gophership.fullname" . }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- if ne .Values.mode "agent" }}
securityContext: { fsGroup: 65532, fsGroupChangePolicy: OnRootMismatch }
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "gophership.metadata" -}}
labels:
  {{- include "gophership.selector" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
