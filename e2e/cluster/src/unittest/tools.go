//go:build tools

// Package tools names the command that runs the charts' tests. It is a module of its own, since its versions of
// Kubernetes' modules are not those of the cluster.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
