// Command faultlab measures what loopcheck finds. It damages a private stack in
// every way that lab/faults knows, runs the built binary in it and asks: was it
// flagged, was the cause named, do the printed remedies mend it and no more. On
// stacks that are in order it asks whether nothing was flagged.
//
//	go run ./lab/faultlab [flags] LOOPCHECK
//
// Progress goes to stderr, a Markdown page to stdout or to the file of -o. The
// exit code is 0 when every fault was injected and every variant set up,
// whatever was found: the figures are the result. It is 1 where one was not, or
// where a stack that is in order was flagged, 2 for a mistake of the caller.
package main
