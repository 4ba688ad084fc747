package sock

// Completion is what the kernel says when it needs the memory of sends no more
// that were made without copying (Documentation/networking/msg_zerocopy.rst).
type Completion struct {
	// First and Last are the sends that it is about, counted from 0 on their
	// socket.
	First, Last uint32
	// Copied says that the bytes were copied in the end.
	Copied bool
}
