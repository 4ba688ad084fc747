//go:build !unix

package engine

// alive takes every process for one that still runs: what it left stays.
func alive(int) bool { return true }
