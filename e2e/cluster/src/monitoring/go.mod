module monitoring

go 1.26.0

// Only its files are read: nothing of it is built.
require github.com/prometheus-operator/prometheus-operator v0.85.0
