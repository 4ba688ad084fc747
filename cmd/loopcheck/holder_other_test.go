//go:build !linux

package main

func holder() {}
