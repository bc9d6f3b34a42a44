//go:build client

// Package client makes the genuine command a requirement of this module, so that its version is pinned.
package client

import _ "github.com/rancher/machine/cmd/rancher-machine"
