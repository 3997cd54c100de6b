package order

// WalkEnd has n orders walked for a few last digits, until undo is called.
func WalkEnd(n int) (undo func()) {
	was := walkEnd
	walkEnd = n
	return func() { walkEnd = was }
}
