//go:build !linux

package main

func occupant() {}
