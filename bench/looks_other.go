//go:build !linux

package bench

// lookEvery is after how many operations an end is looked at.
const lookEvery = 64

// looks sees nothing: asking for the processor is Linux's.
type looks struct{}

func (*looks) asServer()    {}
func (*looks) asClient()    {}
func (*looks) usage() usage { return usage{} }
